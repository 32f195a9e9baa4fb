// The theme that was chosen here, put on before the first paint; hence no module. No choice: the system's.
(() => {
  const themes = ["system", "light", "dark"];
  let theme = "system";
  try {
    theme = localStorage.getItem("atelier.theme") ?? theme;
  } catch {
    // Storage may be blocked; the system's theme then holds.
  }

  function wear() {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  function label(button) {
    const next = themes[(themes.indexOf(theme) + 1) % themes.length];
    button.querySelector("use").setAttribute("href", `#i-${theme}`);
    button.querySelector("span").textContent = `Theme: ${theme}. Change to ${next}`;
    button.title = `Theme: ${theme}`;
  }

  if (!themes.includes(theme)) theme = "system";
  wear();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    label(button);
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      try {
        localStorage.setItem("atelier.theme", theme);
      } catch {
        // Then it holds until the page is left.
      }
      wear();
      label(button);
    });
    // Another tab's choice is this one's.
    addEventListener("storage", (event) => {
      if (event.key !== "atelier.theme" || !themes.includes(event.newValue)) return;
      theme = event.newValue;
      wear();
      label(button);
    });
  });
})();
