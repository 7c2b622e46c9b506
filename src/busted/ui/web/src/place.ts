// What is shown, kept in the part of the URL behind #: the view, what is looked at, the filters. It
// never reaches the server, and going back works.

import { useEffect, useState } from "preact/hooks";
import type { Query } from "./api";

export const FILTERS = ["type", "provider", "model", "agent", "pid", "decision", "finding", "text"] as const;

export interface Place {
  view: string;
  id: string;
  query: Query;
}

function read(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...id] = path.split("/");
  return {
    view: view || "live",
    id: id.map(decodeURIComponent).join("/"),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

export function to(view: string, id = "", query: Query = {}): string {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${asked.size ? `?${asked}` : ""}`;
}

export function go(view: string, id = "", query: Query = {}, replace = false): void {
  const target = to(view, id, query);
  if (replace) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function usePlace(): Place {
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const changed = (): void => setPlace(read());
    addEventListener("hashchange", changed);
    addEventListener("popstate", changed);
    return () => {
      removeEventListener("hashchange", changed);
      removeEventListener("popstate", changed);
    };
  }, []);
  return place;
}
