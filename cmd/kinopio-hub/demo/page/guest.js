// What a guest is told: how the search for the leaf goes, and by which way the page came to it.

/** The sentence below the headline. search is the hub's discoveryStatus, null before the first one. */
export function sayGuest(via, search) {
  if (via !== "leaf") {
    return search?.detail ? `The leaf: ${search.detail}` : "The leaf is being looked for, through this session.";
  }
  if (search?.detail.includes("by WebTransport")) {
    return "By WebTransport, encrypted. The leaf is known by the hash of its certificate, which came through the session, signed; nothing was installed.";
  }
  return isSecureContext
    ? "By a WebSocket. Its certificate is one that this browser trusts."
    : "By a plain WebSocket, not encrypted: this page came by http, and browsers have WebTransport for pages from https and localhost only.";
}

/** Calls changed with each state of the search; wires the button that lets the browser ask for the local network. */
export function followSearch(hub, changed) {
  const button = document.getElementById("allow");
  hub.onDiscovery((search) => {
    button.hidden = search.state !== "permission-needed";
    changed(search);
  });
  button.addEventListener("click", () => hub.requestLocalNetwork());
}
