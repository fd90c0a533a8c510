import { Clicks } from "./clicks.jsx";

export default function Page() {
  return <Clicks />;
}
