// Adds to the tables of the page what HTML alone cannot do: filters, sorting, and a word where a region scrolls sideways.
// It creates its own controls, so that a page shown without scripts has no dead ones. It reads and writes text only:
// nothing in a report is parsed as HTML or run.
(() => {
  "use strict";
  const FEWEST = 12;

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const textOf = (row, column) => row.cells[column].textContent.trim();

  // NaN is above every number, and a dash (not measured) comes last in either direction.
  const valueOf = (text) => {
    const number = text === "inf" ? Number.MAX_VALUE : text === "nan" ? Infinity : parseFloat(text);
    return Number.isNaN(number) ? null : number;
  };

  const compare = (one, other, sign) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return typeof one === "string" ? sign * one.localeCompare(other, "en", { numeric: true }) : sign * (one - other);
  };

  const addSorting = (table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const sort = (column, direction) => {
      const numeric = heads[column].dataset.sort === "number";
      const keys = new Map(rows.map((row) => [row, numeric ? valueOf(textOf(row, column)) : textOf(row, column)]));
      const sign = direction === "descending" ? -1 : 1;
      const ordered = direction === "none" ? rows : [...rows].sort((a, b) => compare(keys.get(a), keys.get(b), sign));
      heads.forEach((head, index) => head.setAttribute("aria-sort", index === column ? direction : "none"));
      body.append(...ordered);
    };
    heads.forEach((head, column) => {
      if (!head.dataset.sort) return;
      const turns = head.dataset.sort === "number" ? ["descending", "ascending"] : ["ascending", "descending"];
      const button = make("button", { type: "button", className: "sort", title: "Sort by this column" });
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        const now = turns.indexOf(head.getAttribute("aria-sort"));
        sort(column, now === -1 ? turns[0] : (turns[now + 1] ?? "none"));
      });
      head.append(button);
    });
  };

  const choiceOf = (table, head) => {
    const column = head.cellIndex;
    const values = new Set([...table.tBodies[0].rows].map((row) => textOf(row, column)));
    const name = head.textContent.trim();
    const select = make("select", {}, make("option", { value: "", textContent: "all" }));
    select.append(...[...values].sort().map((value) => make("option", { value, textContent: value })));
    return { column, select, label: make("label", {}, `${name} `, select) };
  };

  const addFilter = (table) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < FEWEST) return;
    const search = make("input", { type: "search", placeholder: "parts of a name", spellcheck: false });
    const choices = [...table.tHead.querySelectorAll("[data-choices]")].map((head) => choiceOf(table, head));
    const count = make("output", {});
    const names = new Map(rows.map((row) => [row, textOf(row, 0).toLowerCase()]));
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const chosen = choices.every(({ column, select }) => !select.value || textOf(row, column) === select.value);
        row.hidden = !(chosen && words.every((word) => names.get(row).includes(word)));
        shown += !row.hidden;
      }
      count.textContent = `${shown} of ${rows.length} lines`;
    };
    const bar = make("div", { className: "filter" }, make("label", {}, "filter ", search));
    bar.append(...choices.map(({ label }) => label), count);
    bar.setAttribute("role", "search");
    bar.setAttribute("aria-label", `Filter: ${table.parentElement.getAttribute("aria-label")}`);
    bar.addEventListener("input", filter);
    filter();
    table.parentElement.before(bar);
  };

  const addCue = (region) => {
    const cue = make("p", { className: "cue", hidden: true, textContent: "↔ scroll sideways to see all of it" });
    region.before(cue);
    new ResizeObserver(() => {
      cue.hidden = region.scrollWidth <= region.clientWidth + 1;
    }).observe(region);
  };

  const tables = [...document.querySelectorAll("table[data-filter]")];
  tables.forEach(addFilter);
  tables.forEach(addSorting);
  document.querySelectorAll(".scroll").forEach(addCue);
})();
