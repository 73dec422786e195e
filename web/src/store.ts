/** Hooks that draw again when something outside of Preact has changed. */

import { useEffect, useState } from 'preact/hooks';
import { conversations, onChange, type Entry } from './memory';

interface Changing {
  subscribe(listener: () => void): () => void;
}

export function useChanges(what: Changing): void {
  const [, draw] = useState(0);
  useEffect(() => what.subscribe(() => draw((count) => count + 1)), [what]);
}

export function useConversations(): Entry[] {
  const [all, set] = useState(conversations);
  useEffect(() => onChange(() => set(conversations())), []);
  return all;
}

/** Whether the page is as wide as that. */
export function useWide(pixels: number): boolean {
  const [query] = useState(() => matchMedia(`(min-width: ${pixels}px)`));
  const [wide, set] = useState(query.matches);
  useEffect(() => {
    const changed = () => set(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, [query]);
  return wide;
}
