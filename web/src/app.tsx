/** The whole page: conversations on the left, the talk in the middle, the wire on the right. */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Composer } from './composer';
import { config as ask, type Config } from './config';
import { Files } from './files';
import { Delta, Mark, Menu, Plus, Wire } from './icons';
import { keep, kept, newId } from './memory';
import { RawPanel } from './raw';
import { ReplyView } from './reply';
import { Sidebar } from './sidebar';
import { useChanges, useConversations, useWide } from './store';
import { Talk, words, type Item, type Reply } from './talk';

const IDEAS = ['What is a river mouth?', 'Write a haiku about the tide.', 'Explain server-sent events in three sentences.'];
const ID = /^ci_[0-9a-f]{32}$/;

export function App() {
  const [config, setConfig] = useState<Config | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const begin = useCallback(() => {
    setTrouble(null);
    ask().then(setConfig, (error) => setTrouble(words(error)));
  }, []);
  useEffect(begin, []);
  if (config) return <Room config={config} />;
  return (
    <main class="opening">
      <Mark />
      {trouble ? (
        <div class="failed" role="alert">
          <p>{trouble}</p>
          <button type="button" onClick={begin}>Try again</button>
        </div>
      ) : (
        <p>One moment …</p>
      )}
    </main>
  );
}

/** Which conversation is shown is in the address, so that a reload and the back button know it. */
function useTalkOfAddress(): [Talk, (id: string) => void] {
  const known = () => (ID.test(location.hash.slice(1)) ? location.hash.slice(1) : null);
  const [talk, set] = useState(() => new Talk(known() ?? newId()));
  const newest = useRef(talk);
  newest.current = talk;
  useEffect(() => {
    if (known()) void talk.load();
    return () => talk.close();
  }, [talk]);
  useEffect(() => {
    const follow = () => {
      const id = known();
      if (id !== newest.current.id) set(new Talk(id ?? newId()));
    };
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);
  return [talk, (id) => { location.hash = id; }];
}

function Room({ config }: { config: Config }) {
  const [talk, open] = useTalkOfAddress();
  useChanges(talk);
  const [files] = useState(() => new Files(config.uploads));
  useChanges(files);
  useEffect(() => void files.load(), []);
  const all = useConversations();
  const wide = useWide(900);
  const [listed, setListed] = useState(false);
  const [raw, setRaw] = useState(kept('rivermouth.raw') === 'open');
  const [agent, setAgent] = useAgent(config, all.find((one) => one.id === talk.id)?.agent);
  const input = useRef<HTMLTextAreaElement>(null);

  const [dropping, drop] = useDrop((list) => files.add(list), !config.uploads.closed);

  const title = all.find((one) => one.id === talk.id)?.title;
  useEffect(() => {
    document.title = title ? `${title} · Rivermouth` : 'Rivermouth';
  }, [title]);
  const menu = useRef<HTMLButtonElement>(null);
  const covered = listed && !wide;
  const uncover = () => {
    setListed(false);
    setTimeout(() => menu.current?.focus());
  };

  const show = (id: string) => {
    open(id);
    setListed(false);
    input.current?.focus();
  };
  const fresh = () => {
    history.pushState(null, '', location.pathname + location.search);
    window.dispatchEvent(new HashChangeEvent('hashchange'));
    setListed(false);
    input.current?.focus();
  };
  const send = (asked: { text: string; audio?: Blob }) => {
    if (!agent) return;
    if (location.hash.slice(1) !== talk.id) history.replaceState(null, '', `#${talk.id}`);
    talk.ask({ ...asked, agent, search: files.searched });
  };
  const toggleRaw = () => {
    keep('rivermouth.raw', raw ? 'closed' : 'open');
    setRaw(!raw);
  };
  const again = useCallback((reply: Reply) => talk.again(reply, { agent, search: files.searched }), [talk, agent]);
  const approve = useCallback((reply: Reply, call: string, yes: boolean) => {
    void talk.approve(reply, call, yes);
    input.current?.focus(); // the button is gone
  }, [talk]);

  return (
    <div class={`room ${raw ? 'with-raw' : ''} ${dropping ? 'dropping' : ''}`} {...drop}>
      <a class="skip" href="#message" onClick={(event) => { event.preventDefault(); input.current?.focus(); }}>Skip to the message</a>
      {(wide || listed) && (
        <Sidebar all={all} current={talk.id} onOpen={show} onNew={fresh} onClose={wide ? null : uncover} version={config.version} />
      )}
      <div class="middle" inert={covered}>
        <header>
          {!wide && (
            <button type="button" class="quiet" ref={menu} aria-label="Conversations" aria-expanded={listed} onClick={() => setListed(!listed)}><Menu /></button>
          )}
          {!wide && <span class="brand"><Mark />Rivermouth</span>}
          <label class="agent">
            <span>Agent</span>
            <select value={agent} onChange={(event) => setAgent(event.currentTarget.value)}>
              {config.agents.map((one) => <option key={one.id} value={one.id} title={one.description}>{one.name}</option>)}
            </select>
          </label>
          {!wide && <button type="button" class="quiet" aria-label="New conversation" onClick={fresh}><Plus /></button>}
          <button type="button" class="quiet wire" aria-label="Raw stream" aria-pressed={raw} onClick={toggleRaw}><Wire /><span>Raw stream</span></button>
        </header>
        <Messages talk={talk} onAgain={again} onApprove={approve} onIdea={(text) => send({ text })} />
        <Composer config={config} talk={talk} files={files} input={input} onSend={send} />
      </div>
      {raw && <RawPanel dialects={config.dialects} stream={talk.newest?.answer.stream ?? all.find((one) => one.id === talk.id)?.stream ?? null} onClose={toggleRaw} />}
      <p class="unseen" role="status" aria-live="polite">{talk.spoken}</p>
    </div>
  );
}

/** Files that are dragged onto the page. */
function useDrop(take: (files: FileList) => void, open: boolean) {
  const [over, set] = useState(false);
  const carries = (event: DragEvent) => open && Boolean(event.dataTransfer?.types.includes('Files'));
  const handlers = {
    onDragOver: (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      set(true);
    },
    onDragLeave: (event: DragEvent) => {
      if (event.currentTarget === event.target || !event.relatedTarget) set(false);
    },
    onDrop: (event: DragEvent) => {
      set(false);
      if (!carries(event)) return;
      event.preventDefault();
      take(event.dataTransfer!.files);
    },
  };
  return [over, handlers] as const;
}

function useAgent(config: Config, ofTalk: string | undefined): [string, (agent: string) => void] {
  const exists = (name: string | null | undefined) => config.agents.find((one) => one.id === name)?.id;
  const [chosen, set] = useState<string | null>(null);
  useEffect(() => set(null), [ofTalk]);
  const agent = exists(chosen) ?? exists(ofTalk) ?? exists(kept('rivermouth.agent')) ?? config.agents[0]?.id ?? '';
  const choose = (name: string) => {
    keep('rivermouth.agent', name);
    set(name);
  };
  return [agent, choose];
}

interface MessagesProps {
  talk: Talk;
  onAgain: (reply: Reply) => void;
  onApprove: (reply: Reply, call: string, approved: boolean) => void;
  onIdea: (text: string) => void;
}

function Messages({ talk, onAgain, onApprove, onIdea }: MessagesProps) {
  const place = useRef<HTMLDivElement>(null);
  const held = useRef(true);
  useFollowing(place, held, talk);
  const copy = (event: MouseEvent) => {
    const button = (event.target as Element).closest('button.copy');
    const code = button?.closest('.listing')?.querySelector('code');
    if (!button || !code) return;
    navigator.clipboard?.writeText(code.textContent ?? '').then(
      () => flash(button, 'Copied'),
      () => flash(button, 'Not allowed'),
    );
  };
  return (
    <main class="messages" ref={place} onClick={copy} tabIndex={-1} aria-label="Conversation">
      <div class="column">
        {talk.loading && talk.items.length === 0 && <p class="doing"><span>Loading …</span></p>}
        {talk.trouble && (
          <div class="failed" role="alert">
            <p>{talk.trouble}</p>
            <button type="button" onClick={() => void talk.load()}>Try again</button>
          </div>
        )}
        {!talk.loading && !talk.trouble && talk.items.length === 0 && <Welcome onIdea={onIdea} />}
        {talk.items.map((item) => <ItemView key={item.key} item={item} onAgain={onAgain} onApprove={onApprove} />)}
      </div>
    </main>
  );
}

function ItemView({ item, onAgain, onApprove }: { item: Item } & Pick<MessagesProps, 'onAgain' | 'onApprove'>) {
  if (item.kind === 'reply') return <ReplyView reply={item} version={item.version} onAgain={onAgain} onApprove={onApprove} />;
  return (
    <article class={`question ${item.spoken ? 'spoken' : ''}`} aria-label="You">
      {item.text ? <p>{item.text}</p> : <p class="faint">{item.waiting ? 'Voice message, being understood …' : 'Voice message'}</p>}
    </article>
  );
}

function Welcome({ onIdea }: { onIdea: (text: string) => void }) {
  return (
    <section class="welcome">
      <Delta />
      <h1>Ask something</h1>
      <p>One stream of words from the model, kept in a log as it comes: reload the page, open a second tab, or watch the bytes beside it.</p>
      <ul>
        {IDEAS.map((text) => <li key={text}><button type="button" onClick={() => onIdea(text)}>{text}</button></li>)}
      </ul>
    </section>
  );
}

/** Stays at the end while it grows, unless somebody has scrolled away from it. */
function useFollowing(place: { current: HTMLDivElement | null }, held: { current: boolean }, talk: Talk): void {
  useEffect(() => {
    const frame = place.current!;
    const moved = () => {
      held.current = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 60;
    };
    const grown = new ResizeObserver(() => {
      if (held.current) frame.scrollTop = frame.scrollHeight;
    });
    frame.addEventListener('scroll', moved, { passive: true });
    grown.observe(frame.firstElementChild!);
    grown.observe(frame);
    return () => {
      frame.removeEventListener('scroll', moved);
      grown.disconnect();
    };
  }, []);
  const count = talk.items.length;
  useEffect(() => {
    held.current = true;
    const frame = place.current!;
    frame.scrollTop = frame.scrollHeight;
  }, [talk, count]);
}

function flash(button: Element, text: string): void {
  button.textContent = text;
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

