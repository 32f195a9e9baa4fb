"""What `atelier doctor` looks at, one small function a question."""
