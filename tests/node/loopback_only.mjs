// No test leaves this machine: preloaded by NODE_OPTIONS, as tests/network_guard is in Python.
import net from "node:net";

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  const host = typeof options === "object" ? options.host : undefined;
  if (host !== undefined && !LOOPBACK.has(host)) {
    throw new Error(`tried to reach ${host}`);
  }
  return connect.apply(this, args);
};
