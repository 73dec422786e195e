/** A message by voice: begin, see that it is heard, send it or throw it away. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { Close, Mic, Send } from './icons';
import { noMicrophone, Recorder, refusedBecause } from './recorder';

interface Props {
  /** Seconds after which it is sent as it is. */
  most: number;
  disabled: boolean;
  onRecording: (recording: boolean) => void;
  onSay: (audio: Blob) => void;
  onTrouble: (why: string | null) => void;
}

export function Speaking({ most, disabled, onRecording, onSay, onTrouble }: Props) {
  const [recorder, set] = useState<Recorder | null>(null);
  const [asking, setAsking] = useState(false);
  const newest = useRef<Recorder | null>(null);
  newest.current = recorder;
  useEffect(
    () => () => {
      // Somebody has gone to another conversation in the middle of it.
      newest.current?.cancel();
      onRecording(false);
    },
    [],
  );
  const missing = noMicrophone();

  const begin = async () => {
    onTrouble(null);
    setAsking(true);
    try {
      set(await Recorder.begin());
      onRecording(true);
    } catch (error) {
      onTrouble(refusedBecause(error));
    }
    setAsking(false);
  };
  const over = () => {
    set(null);
    onRecording(false);
  };
  const send = async () => {
    if (!recorder) return;
    over();
    onSay(await recorder.end());
  };
  const cancel = () => {
    recorder?.cancel();
    over();
  };
  if (recorder) return <Recording recorder={recorder} most={most} onSend={() => void send()} onCancel={cancel} />;
  return (
    <button type="button" class="quiet" aria-label="Record a voice message" title={missing ?? 'Record a voice message'} disabled={disabled || asking || missing !== null} onClick={() => void begin()}>
      <Mic />
    </button>
  );
}

function Recording({ recorder, most, onSend, onCancel }: { recorder: Recorder; most: number; onSend: () => void; onCancel: () => void }) {
  const [seconds, setSeconds] = useState(0);
  const level = useRef<HTMLSpanElement>(null);
  const send = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    send.current!.focus();
    const key = (event: KeyboardEvent) => event.key === 'Escape' && onCancel();
    window.addEventListener('keydown', key);
    const timer = setInterval(() => {
      level.current?.style.setProperty('--loud', recorder.loudness.toFixed(2));
      setSeconds(Math.floor(recorder.seconds));
      if (recorder.seconds >= most) onSend();
    }, 80);
    return () => {
      window.removeEventListener('keydown', key);
      clearInterval(timer);
    };
  }, [recorder]);
  return (
    <div class="recording" role="group" aria-label="Recording">
      <button type="button" class="quiet" aria-label="Throw the recording away" onClick={onCancel}><Close /></button>
      <span class="level" ref={level} aria-hidden="true"><i /></span>
      <span class="time" role="timer" aria-label="Length">{`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`}</span>
      <button type="button" class="round" ref={send} aria-label="Send the recording" onClick={onSend}><Send /></button>
    </div>
  );
}
