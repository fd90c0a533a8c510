/** What the server told the page: addresses, and the token of its buttons. */
export const config = JSON.parse(document.getElementById("config").textContent);
