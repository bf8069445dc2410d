// Sets the theme before anything is painted: as the system has it, unless somebody chose another.
(function () {
  "use strict";
  const KEY = "gp-theme";
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY);
  } catch {
    // Storage is off: the system's theme it is.
  }
  function apply() {
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
  }
  apply();
  window.gpTheme = {
    get current() {
      return chosen === "light" || chosen === "dark" ? chosen : "automatic";
    },
    next() {
      chosen = { automatic: "light", light: "dark", dark: null }[this.current];
      try {
        if (chosen === null) localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, chosen);
      } catch {
        // It holds until the page is left.
      }
      apply();
      return this.current;
    },
  };
})();
