// The page: what is chosen in the head, and the view of it. `?` shows the keys.

import { render, type JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, Refused, signIn, signOut } from "./api";
import type { Live } from "./live";
import { go, to, usePlace } from "./place";
import { safe } from "./text";
import { AgentsView } from "./views/agents";
import { ConversationView } from "./views/conversation";
import { LiveView } from "./views/live";
import { CoverageView, HealthView, McpView, PolicyView, ProcessesView } from "./views/others";
import { ProvidersView } from "./views/totals";
import "./style.css";

const VIEWS: [string, string][] = [
  ["live", "Live"],
  ["conversation", "Conversations"],
  ["agents", "Agents"],
  ["providers", "Providers"],
  ["processes", "Processes"],
  ["mcp", "MCP"],
  ["policy", "Policy"],
  ["coverage", "Coverage"],
  ["health", "Health"],
];
const KEYS: [string, string][] = [
  ["j k ↓ ↑", "next, previous event"],
  ["g G", "newest, oldest"],
  ["Ctrl-d Ctrl-u", "half a page"],
  ["PgDn PgUp", "a page"],
  ["n N", "next, previous in detail"],
  ["Esc", "close"],
  ["Space", "pause, go on"],
  ["/", "search"],
  ["p t", "next provider, next type"],
  ["c C", "clear events, clear filters"],
  ["1 … 9", "views"],
  ["?", "these keys"],
];
const THEME = "busted-theme";

function App(): JSX.Element {
  const place = usePlace();
  const [state, setState] = useState<{ connected: boolean; why?: Error }>({ connected: false });
  const [help, setHelp] = useState(false);
  const [theme, setTheme] = useState(localStorage.getItem(THEME) ?? "");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(THEME, theme);
  }, [theme]);
  useEffect(() => {
    document.title = `Busted: ${VIEWS.find(([name]) => name === place.view)?.[1] ?? "?"}`;
    const pressed = (event: KeyboardEvent): void => {
      const on = event.target as HTMLElement;
      if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(on.tagName)) return;
      const view = VIEWS[Number(event.key) - 1];
      if (view) go(view[0]);
      else if (event.key === "?") setHelp((is) => !is);
      else if (event.key === "Escape") setHelp(false);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [place.view]);
  useEffect(() => {
    // On a phone the views are a line that is longer than the screen.
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [place.view]);
  const onState = (live: Live): void => {
    if (live.connected !== state.connected || live.why !== state.why) {
      setState(live.why ? { connected: live.connected, why: live.why } : { connected: live.connected });
    }
  };
  const wantsToken = state.why instanceof Refused;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header class="head">
        <h1>Busted</h1>
        <nav aria-label="Views">
          {VIEWS.map(([name, label]) => (
            <a key={name} href={to(name)} aria-current={place.view === name ? "page" : undefined}>{label}</a>
          ))}
        </nav>
        {place.view === "live" && (
          <span class={`state ${state.connected ? "on" : "off"}`} role="status" title={safe(state.why?.message)}>
            {state.connected ? "live" : "not connected"}
          </span>
        )}
        <button type="button" onClick={() => setTheme(theme === "light" ? "dark" : "light")} aria-label="Dark or light">◐</button>
        <button type="button" onClick={() => setHelp(true)} aria-label="Keys">?</button>
        <SignOut />
      </header>
      <main id="main" tabIndex={-1}>
        {wantsToken ? <Token /> : <View view={place.view} id={place.id} place={place} onState={onState} />}
      </main>
      {help && (
        <dialog open class="help" aria-label="Keys">
          <Keys />
          <button type="button" onClick={() => setHelp(false)}>Close</button>
        </dialog>
      )}
    </>
  );
}

function View(props: { view: string; id: string; place: ReturnType<typeof usePlace>; onState: (live: Live) => void }): JSX.Element {
  switch (props.view) {
    case "live":
      return <LiveView place={props.place} onState={props.onState} />;
    case "conversation":
      return <ConversationView id={props.id} />;
    case "agents":
      return <AgentsView id={props.id} />;
    case "providers":
      return <ProvidersView />;
    case "processes":
      return <ProcessesView />;
    case "mcp":
      return <McpView />;
    case "policy":
      return <PolicyView />;
    case "coverage":
      return <CoverageView />;
    case "health":
      return <HealthView />;
    default:
      return <p class="notice">There is no such view.</p>;
  }
}

function Keys(): JSX.Element {
  return (
    <dl class="facts">
      {KEYS.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}
    </dl>
  );
}

function SignOut(): JSX.Element | null {
  const [signedIn, setSignedIn] = useState(false);
  useEffect(() => {
    get<{ session: boolean }>("/session").then((told) => setSignedIn(told.session), () => undefined);
  }, []);
  if (!signedIn) return null;
  return <button type="button" onClick={() => void signOut().then(() => location.reload())}>Sign out</button>;
}

function Token(): JSX.Element {
  const [value, setValue] = useState("");
  const [why, setWhy] = useState("");
  return (
    <form
      class="notice"
      onSubmit={(event) => {
        event.preventDefault();
        signIn(value).then(() => location.reload(), (error: Error) => setWhy(safe(error.message)));
      }}
    >
      <label>
        This server wants its token: <input type="password" autocomplete="off" value={value} onInput={(event) => setValue(event.currentTarget.value)} />
      </label>
      <button type="submit">Go on</button>
      {why && <p role="alert">{why}</p>}
    </form>
  );
}

render(<App />, document.getElementById("app")!);
