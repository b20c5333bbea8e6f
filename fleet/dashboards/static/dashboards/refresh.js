/* Keeps <div data-refresh="URL" data-every="seconds" data-state="..."> fresh.

   The answer is the same element's inside, with the rollout's state in X-Rollout-State: another state than the page's changes its buttons too, so then the
   whole page is loaded again. Nothing is replaced while the page is hidden, while somebody uses the keyboard inside, or while the person has switched it off. */
"use strict";

(() => {
  const start = (section) => {
    const toggle = document.querySelector(`[data-refresh-toggle="${section.id}"]`);
    const status = document.querySelector("[data-refresh-status]");
    let on = true;

    const refresh = async () => {
      const answer = await fetch(section.dataset.refresh, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      if (answer.headers.get("X-Rollout-State") !== section.dataset.state) {
        window.location.reload();
        return;
      }
      section.innerHTML = await answer.text();
      status.textContent = "";
    };

    const tick = () => {
      if (!on || document.hidden || section.contains(document.activeElement)) return;
      refresh().catch((error) => {
        status.textContent = `Not fresh: ${error.message}. Trying again.`;
      });
    };

    toggle.hidden = false;
    toggle.addEventListener("click", () => {
      on = !on;
      toggle.setAttribute("aria-pressed", String(on));
    });
    setInterval(tick, Number(section.dataset.every) * 1000);
  };

  for (const section of document.querySelectorAll("[data-refresh]")) start(section);
})();
