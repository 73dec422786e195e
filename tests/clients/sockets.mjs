// Pages that talk to the server with socket.io-client, as many as wanted, steered line by line.
//
// stdin: one JSON object a line, {page, do, …}; stdout: one JSON object a line, {page, event, values}, for each event that
// the page hears, those of the connection included. What a page does by itself is what the contracts' samples do.

import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const pages = new Map();
const tell = (page, event, ...values) => process.stdout.write(JSON.stringify({ page, event, values }) + '\n');

function open(page, url, options) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
  socket.on('connect', () => tell(page, 'connect', socket.id, socket.io.engine.transport.name));
  socket.on('connect_error', (error) => tell(page, 'connect_error', error.message, error.data ?? null));
  socket.on('disconnect', (reason) => tell(page, 'disconnect', reason));
  socket.onAny((event, ...values) => tell(page, event, ...values));
  socket.io.on('open', () => {
    const engine = socket.io.engine;
    engine.on('upgrade', (transport) => tell(page, 'upgrade', transport.name));
    engine.on('close', () => tell(page, 'close'));
  });
  pages.set(page, { socket });
}

// The sample of session, with what its documentation says on coming back: ask for what was missed.
function sampleSession(page, url, options, message, sessionId) {
  const heard = { text: '', count: 0, stream: null };
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
  pages.set(page, { socket });
  socket.on('connected', (data) => tell(page, 'connected', data));
  socket.on('connect', () => {
    if (heard.stream) socket.emit('chat_resume', { stream_id: heard.stream, after: heard.count });
    else socket.emit('chat_stream', { message, session_id: sessionId });
  });
  socket.on('disconnect', (reason) => tell(page, 'disconnect', reason));
  socket.on('chat_stream_started', (data) => { heard.stream = data.stream_id; tell(page, 'started', data); });
  socket.on('chat_token', (data) => {
    heard.text += data.token;
    if (data.count !== heard.count + 1 || data.partial !== heard.text) tell(page, 'wrong', data, heard);
    heard.count = data.count;
    tell(page, 'heard', heard.text);
  });
  socket.on('chat_complete', (data) => { tell(page, 'whole', heard.text, data); socket.disconnect(); });
  socket.on('chat_stream_error', (data) => tell(page, 'error', data.error));
}

// Bytes cannot be written in JSON, so a command says {"$bytes": n} where n of them shall stand.
const withBytes = (value) =>
  value?.$bytes !== undefined ? Buffer.alloc(value.$bytes, 1)
  : Array.isArray(value) ? value.map(withBytes)
  : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withBytes(v)]))
  : value;

const commands = {
  open: ({ page, url, options }) => open(page, url, options),
  session: ({ page, url, options, message, session }) => sampleSession(page, url, options, message, session),
  emit: ({ page, event, values }) => pages.get(page).socket.emit(event, ...values.map(withBytes)),
  ask: ({ page, event, values }) =>
    pages.get(page).socket.emit(event, ...values.map(withBytes), (reply) => tell(page, `ack ${event}`, reply)),
  // As when the network goes: nobody says goodbye.
  cut: ({ page }) => {
    const { transport } = pages.get(page).socket.io.engine;
    if (transport.ws) transport.ws._socket.destroy();
    else transport.onClose();
  },
  // Takes nothing more from its connection.
  stall: ({ page }) => pages.get(page).socket.io.engine.transport.ws.pause(),
  close: ({ page }) => pages.get(page).socket.disconnect(),
  connect: ({ page }) => pages.get(page).socket.connect(),
  forget: ({ page }) => { pages.get(page)?.socket.disconnect(); pages.delete(page); },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on('close', () => process.exit(0));
