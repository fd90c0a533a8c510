import Alpine from "alpinejs";
import { hub } from "../hub.mjs";

Alpine.data("page", () => ({ hub, shown: true }));
Alpine.data("robot", () => ({ battery: hub.robot.battery }));
Alpine.start();
