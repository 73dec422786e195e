/** The microphone: a recording that is being made, how loud it is, and what came of it. */

const FORMS = ['audio/webm;codecs=opus', 'audio/ogg;codecs=opus', 'audio/mp4'];

/** Why there is no microphone to use; null where there is one to ask for. */
export function noMicrophone(): string | null {
  if (!window.isSecureContext) return 'A microphone can only be used over https, or on the server’s own machine.';
  if (!navigator.mediaDevices?.getUserMedia || !('MediaRecorder' in window)) return 'This browser cannot record.';
  return null;
}

/** What a browser says when it gives no microphone, in words for people. */
export function refusedBecause(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'The microphone was not allowed. The browser’s settings for this page can change that.';
  if (name === 'NotFoundError') return 'There is no microphone.';
  if (name === 'NotReadableError') return 'Another program uses the microphone.';
  return 'The microphone cannot be used.';
}

export class Recorder {
  private readonly pieces: Blob[] = [];
  private readonly began = performance.now();
  private readonly context = new AudioContext();
  private readonly analyser = this.context.createAnalyser();
  private readonly samples = new Uint8Array(512);

  private constructor(
    private readonly stream: MediaStream,
    private readonly recorder: MediaRecorder,
  ) {
    this.analyser.fftSize = 512;
    this.context.createMediaStreamSource(stream).connect(this.analyser);
    recorder.ondataavailable = ({ data }) => data.size && this.pieces.push(data);
    recorder.start(1000);
  }

  /** Asks for the microphone. Throws what the browser throws. */
  static async begin(): Promise<Recorder> {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true } });
    const form = FORMS.find((one) => MediaRecorder.isTypeSupported(one));
    return new Recorder(stream, new MediaRecorder(stream, form ? { mimeType: form, audioBitsPerSecond: 48_000 } : {}));
  }

  get seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  /** From 0 to 1. */
  get loudness(): number {
    this.analyser.getByteTimeDomainData(this.samples);
    let most = 0;
    for (const sample of this.samples) most = Math.max(most, Math.abs(sample - 128));
    return most / 128;
  }

  /** What was said. */
  async end(): Promise<Blob> {
    const stopped = new Promise((resolve) => this.recorder.addEventListener('stop', resolve, { once: true }));
    if (this.recorder.state !== 'inactive') {
      this.recorder.stop();
      await stopped;
    }
    this.release();
    return new Blob(this.pieces, { type: this.recorder.mimeType });
  }

  /** Away with it. */
  cancel(): void {
    if (this.recorder.state !== 'inactive') this.recorder.stop();
    this.release();
  }

  private release(): void {
    for (const track of this.stream.getTracks()) track.stop();
    void this.context.close();
  }
}
