// The one hub of each page here, kept outside of what frameworks make and drop.
import KinopioHub from "kinopio-hub";

export const hub = new KinopioHub({ servers: [new URLSearchParams(location.search).get("server")], reconnectTimeWait: 20, retryDelay: 20 });
globalThis.hub = hub; // for who drives the page
