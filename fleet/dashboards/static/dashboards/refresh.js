/* Keeps <section data-refresh="URL" data-every="seconds"> fresh while the answer asks for it.

   The server answers with the same section's inside; the header X-Refresh: no ends it. Nothing is replaced while the page is hidden,
   while somebody uses the keyboard inside, or while the person has switched it off. */
"use strict";

(() => {
  const start = (section) => {
    const toggle = document.querySelector(`[data-refresh-toggle="${section.id}"]`);
    let on = true;
    const refresh = async () => {
      if (!on || document.hidden || section.contains(document.activeElement)) return;
      const answer = await fetch(section.dataset.refresh, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = await answer.text();
      if (fresh !== section.dataset.last) section.innerHTML = fresh;
      section.dataset.last = fresh;
      if (answer.headers.get("X-Refresh") === "no") {
        clearInterval(timer);
        // The buttons above the section follow the state: they come with the whole page.
        window.location.reload();
      }
    };
    const timer = setInterval(() => refresh().catch(() => {}), Number(section.dataset.every) * 1000);
    if (toggle) {
      toggle.hidden = false;
      toggle.addEventListener("click", () => {
        on = !on;
        toggle.setAttribute("aria-pressed", String(on));
      });
    }
  };
  for (const section of document.querySelectorAll("[data-refresh]")) start(section);
})();
