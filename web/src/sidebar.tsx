/** The conversations that this browser knows, newest first. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { Bin, Close, Mark, Plus } from './icons';
import { forget, type Entry } from './memory';
import { applied, theme, THEMES, type Theme } from './theme';

interface Props {
  all: Entry[];
  current: string;
  version: string;
  onOpen: (id: string) => void;
  onNew: () => void;
  /** On a narrow page it lies over the talk, and can be closed. */
  onClose: (() => void) | null;
}

export function Sidebar({ all, current, version, onOpen, onNew, onClose }: Props) {
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!onClose) return;
    place.current!.querySelector('button')!.focus();
    const key = (event: KeyboardEvent) => event.key === 'Escape' && onClose();
    window.addEventListener('keydown', key);
    return () => window.removeEventListener('keydown', key);
  }, [onClose !== null]);
  return (
    <>
      {onClose && <div class="veil" onClick={onClose} />}
      <nav class={`sidebar ${onClose ? 'over' : ''}`} ref={place} aria-label="Conversations">
        <div class="sidebar-top">
          <span class="brand"><Mark />Rivermouth</span>
          {onClose && <button type="button" class="quiet" aria-label="Close the list" onClick={onClose}><Close /></button>}
        </div>
        <button type="button" class="new" onClick={onNew}><Plus />New conversation</button>
        {all.length === 0 && <p class="faint">What you ask is listed here, in this browser alone.</p>}
        <ul>
          {all.map((one) => (
            <li key={one.id} class={one.id === current ? 'current' : ''}>
              <button type="button" class="open" aria-current={one.id === current ? 'page' : undefined} onClick={() => onOpen(one.id)}>
                {one.title || 'Conversation'}
              </button>
              <button
                type="button"
                class="quiet forget"
                aria-label={`Take “${one.title || 'Conversation'}” off the list`}
                onClick={() => {
                  forget(one.id);
                  if (one.id === current) onNew();
                }}
              >
                <Bin />
              </button>
            </li>
          ))}
        </ul>
        <div class="sidebar-foot">
          <Themes />
          <p><a href="docs">All paths</a> · {version}</p>
        </div>
      </nav>
    </>
  );
}

const NAMES: Record<Theme, string> = { system: 'Auto', light: 'Light', dark: 'Dark' };

function Themes() {
  const [chosen, set] = useState(theme);
  return (
    <fieldset class="themes">
      <legend class="unseen">Colours</legend>
      {THEMES.map((one) => (
        <label key={one} class={one === chosen ? 'chosen' : ''}>
          <input
            type="radio"
            name="theme"
            value={one}
            checked={one === chosen}
            onChange={() => {
              applied(one);
              set(one);
            }}
          />
          {NAMES[one]}
        </label>
      ))}
    </fieldset>
  );
}
