/** What the server told the page: addresses, and the token of its buttons. */
export const config = JSON.parse(document.getElementById("config").textContent);

// Whatever has brought the page, a tunnel or a web server before it, leads to the backbone, too.
if (config.backbonePath) config.servers = [location.origin.replace(/^http/, "ws") + config.backbonePath];

/** How the leaf is found: through the session, or by its manifest. */
export const discovery = {
  enabled: true,
  cacheTtlMs: config.cacheTtlMs,
  ...(config.namespace ? { namespace: config.namespace, namespaceKey: config.namespaceKey } : { manifestUrl: config.manifestUrl || undefined }),
};
