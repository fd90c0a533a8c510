import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * A registry of the platform packages, as npm's will be: all of them are listed, and the ones that
 * were packed can be had. `asked` has the paths of what was downloaded.
 */
export async function startRegistry(folder, packed, main) {
  const asked = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url.split("?")[0]).slice(1);
    const tarball = packed.find(({ file }) => path === `tarballs/${file}`);
    if (tarball) {
      asked.push(tarball.name);
      response.end(readFileSync(join(folder, tarball.file)));
      return;
    }
    const version = main.optionalDependencies[path];
    if (!version) {
      response.writeHead(404).end("{}");
      return;
    }
    const [os, cpu] = path.split("/")[1].split("-");
    const { file = `${path.split("/")[1]}.tgz`, integrity = "sha512-none", manifest = { name: path, version, os: [os], cpu: [cpu] } } = packed.find(({ name }) => name === path) ?? {};
    const dist = { tarball: `http://${request.headers.host}/tarballs/${file}`, integrity };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ name: path, "dist-tags": { latest: version }, time: { [version]: "2025-01-01T00:00:00.000Z", modified: "2025-01-01T00:00:00.000Z" }, versions: { [version]: { ...manifest, dist } } }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, asked, stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}
