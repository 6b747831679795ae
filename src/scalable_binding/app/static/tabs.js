// The tabs at the top: label videos, sample from a RIN, give an agent of CARML a goal.

import { tell } from "./store.js";

const tabs = [...document.querySelectorAll("[role=tab]")];

/** Show the view of a tab. */
export function open(name) {
  for (const tab of tabs) {
    const isOpen = tab.dataset.view === name;
    tab.setAttribute("aria-selected", String(isOpen));
    tab.tabIndex = isOpen ? 0 : -1;
    document.getElementById(`view-${tab.dataset.view}`).hidden = !isOpen;
  }
  for (const each of document.querySelectorAll(".of-label")) each.hidden = name !== "label";
  history.replaceState(null, "", name === "label" ? "#" : `#${name}`);
  tell("tab", name);
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => open(tab.dataset.view));
  tab.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(place + by + tabs.length) % tabs.length];
    next.focus();
    open(next.dataset.view);
  });
});

/** Fill a list of choices, the first one chosen. */
export function fill(select, choices) {
  select.replaceChildren(
    ...choices.map((each) => {
      const [value, text] = Array.isArray(each) ? each : [each, each];
      return Object.assign(document.createElement("option"), { value, textContent: text });
    }),
  );
}

/** The tab that the address names. */
export const named = () => tabs.find((tab) => location.hash === `#${tab.dataset.view}`)?.dataset.view;
