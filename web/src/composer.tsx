/** Where the next question is written. Enter sends it, Shift and Enter begin a new line. */

import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Config } from './config';
import type { Files } from './files';
import { Clip, Send, Stop } from './icons';
import { Shelf } from './shelf';
import { Speaking } from './speaking';
import type { Talk } from './talk';

interface Props {
  config: Config;
  talk: Talk;
  files: Files;
  input: RefObject<HTMLTextAreaElement | null>;
  onSend: (asked: { text: string; audio?: Blob }) => void;
}

export function Composer({ config, talk, files, input, onSend }: Props) {
  const [text, setText] = useState('');
  const [recording, setRecording] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const live = talk.live;
  const tooLong = [...text].length > config.message_chars;
  const ready = text.trim() !== '' && !live && !tooLong && config.agents.length > 0;
  useEffect(() => fit(input.current), [text]);
  useEffect(() => input.current?.focus(), [talk]);
  useEffect(() => {
    // The button that stopped it is gone, and the focus with it.
    if (!live && document.activeElement === document.body) input.current?.focus();
  }, [live === null]);

  const send = () => {
    if (!ready) return;
    onSend({ text: text.trim() });
    setText('');
  };
  const key = (event: KeyboardEvent) => {
    // While a word is composed, as in Japanese, Enter ends that word.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <div class="box">
        <Shelf files={files} />
        <textarea
          id="message"
          ref={input}
          rows={1}
          value={text}
          placeholder="Message"
          aria-label="Message"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={key}
          onPaste={(event) => {
            const pasted = event.clipboardData?.files;
            if (!pasted?.length || config.uploads.closed) return;
            event.preventDefault();
            files.add(pasted);
          }}
        />
        <div class="tools">
          <Attach config={config} files={files} />
          <span class="grow" />
          {config.voice !== null && (
            <Speaking
              key={talk.id}
              most={config.voice}
              disabled={live !== null || config.agents.length === 0}
              onRecording={setRecording}
              onTrouble={setTrouble}
              onSay={(audio) => {
                onSend({ text: '', audio });
                input.current?.focus();
              }}
            />
          )}
          {recording ? null : live ? (
            <button type="button" class="round stop" aria-label="Stop the answer" disabled={live.stopping} onClick={() => void talk.stop(live)}><Stop /></button>
          ) : (
            <button type="submit" class="round" aria-label="Send" disabled={!ready}><Send /></button>
          )}
        </div>
      </div>
      {tooLong && <p class="failed" role="alert">That is longer than the {config.message_chars.toLocaleString('en')} characters that a message may have.</p>}
      {trouble && <p class="failed" role="alert">{trouble}</p>}
      {config.agents.length === 0 && <p class="faint">No agent of this server is open to visitors (agents.NAME.anonymous).</p>}
    </form>
  );
}

function Attach({ config, files }: { config: Config; files: Files }) {
  const chooser = useRef<HTMLInputElement>(null);
  const { closed } = config.uploads;
  return (
    <>
      <input
        ref={chooser}
        type="file"
        multiple
        hidden
        aria-label="Files to look into"
        onChange={(event) => {
          files.add([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
      <button type="button" class="quiet" aria-label="Add a file" title={closed ?? 'Add a file'} disabled={Boolean(closed)} onClick={() => chooser.current!.click()}>
        <Clip />
      </button>
    </>
  );
}

function fit(area: HTMLTextAreaElement | null): void {
  if (!area) return;
  area.style.height = 'auto';
  area.style.height = `${Math.min(area.scrollHeight, 240)}px`;
}
