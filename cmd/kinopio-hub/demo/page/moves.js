// The log of moves: newest first.
import { ms, place, viaOf, why } from "./words.js";

const KEPT = 100;

/** Every move so far, oldest first, as the library told it. */
export const moves = [];

/** Adds move to the log. */
export function logMove(move) {
  moves.push(move);
  const rows = document.getElementById("moves");
  rows.querySelector(".none")?.remove();
  const row = document.createElement("tr");
  row.className = move.error ? "failed" : "";
  const cell = (text, className = "") => {
    const td = document.createElement("td");
    td.textContent = text;
    td.className = className;
    row.append(td);
  };
  cell(new Date().toLocaleTimeString([], { hour12: false }), "when");
  cell(place(move.from), viaOf(move.from));
  cell(place(move.to), viaOf(move.to));
  cell(why(move), "wide");
  cell(`${ms(move.tookMs)} ms`, "n");
  cell(move.planned ? `${ms(move.heldMs)} ms` : "–", "n");
  rows.prepend(row);
  while (rows.children.length > KEPT) rows.lastElementChild.remove();
}
