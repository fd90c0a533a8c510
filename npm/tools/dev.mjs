// Serves a folder with an index.html as Vite does in development, until its input ends. Prints the address.
import { createServer } from "vite";

const [root] = process.argv.slice(2);
const server = await createServer({ root, configFile: false, logLevel: "warn", server: { host: "127.0.0.1", port: 0 } });
await server.listen();
console.log(`http://127.0.0.1:${server.httpServer.address().port}`);
process.stdin.resume().on("end", async () => {
  await server.close();
  process.exit();
});
