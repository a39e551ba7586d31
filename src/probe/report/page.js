// The page is whole without this: it filters rows, and opens what a link leads to.
"use strict";
{
  const form = document.querySelector("form.filter");
  const rows = [...document.querySelectorAll("tbody")];
  const probes = rows.filter((row) => row.classList.contains("probe"));
  const words = new Map(probes.map((row) => [row, ""]));
  let profile = "";
  for (const row of rows) {
    if (row.classList.contains("profile")) profile = row.textContent;
    else words.set(row, (profile + " " + row.textContent).toLowerCase());
  }
  const value = (id) => document.getElementById(id).value;
  const opens = document.getElementById("open");

  const filter = () => {
    const wanted = value("text").toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) =>
      wanted.every((word) => words.get(row).includes(word)) &&
      ["actual", "stage", "match"].every((name) => {
        const choice = value(name);
        if (choice === "unexpected") return row.classList.contains("unexpected");
        return choice === "" || row.dataset[name] === choice;
      });
    let heading = null;
    let count = 0;
    for (const row of rows) {
      if (row.classList.contains("profile")) {
        heading = row;
        heading.hidden = true;
        continue;
      }
      row.hidden = !fits(row);
      if (!row.hidden) {
        count += 1;
        if (heading) heading.hidden = false;
      }
    }
    document.getElementById("shown").textContent = count + " of " + probes.length + " probes";
  };

  const of = (row) => row.querySelector("details");
  const openAll = (open) => {
    for (const row of probes) if (!row.hidden) of(row).open = open;
    opens.textContent = open ? "Close all" : "Open all";
  };
  const follow = () => {
    const row = probes.find((row) => "#" + row.id === location.hash);
    if (!row) return;
    if (row.hidden) {
      form.reset();
      filter();
    }
    of(row).open = true;
    row.scrollIntoView();
  };

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // Behind the reset itself.
  form.addEventListener("reset", () => setTimeout(filter));
  opens.addEventListener("click", () => openAll(opens.textContent === "Open all"));
  addEventListener("hashchange", follow);
  filter();
  follow();
}
