// Node's clients against the public host: prints one JSON object, one key per client.
import axios from "axios";
import { EventSource } from "eventsource";
import { createHash } from "node:crypto";
import { request } from "undici";
import WebSocket from "ws";

const base = process.argv[2];
const body = Buffer.alloc(3 * 1024 * 1024, "clients change nothing ");
const digest = createHash("sha256").update(body).digest("hex");
const results = {};

async function withFetch() {
  const answer = await fetch(`${base}/plain?x=1`);
  const sent = await fetch(`${base}/echo`, { method: "POST", body });
  return [answer.status, (await answer.json()).query, (await sent.json()).sha256 === digest];
}

async function withFetchStream() {
  const answer = await fetch(`${base}/events?count=5`);
  let text = "";
  for await (const part of answer.body.pipeThrough(new TextDecoderStream())) text += part;
  return text.match(/event: delta/g).length;
}

async function withUndici() {
  const many = await Promise.all(
    Array.from({ length: 50 }, async (_, number) => {
      const answer = await request(`${base}/plain?x=${number}`);
      return (await answer.body.json()).query === `x=${number}`;
    }),
  );
  return many.every(Boolean);
}

async function withAxios() {
  const answer = await axios.post(`${base}/echo`, body, { headers: { "Content-Type": "image/png" } });
  const missing = await axios.get(`${base}/missing`, { validateStatus: () => true });
  return [answer.data.sha256 === digest, answer.data.content_type, missing.status];
}

function withEventSource() {
  return new Promise((resolve, reject) => {
    const seen = [];
    const source = new EventSource(`${base}/events?count=3`);
    source.addEventListener("delta", (event) => {
      seen.push(JSON.parse(event.data).number);
      if (seen.length === 3) {
        source.close();
        resolve(seen);
      }
    });
    source.onerror = (error) => reject(new Error(`EventSource: ${error.message}`));
  });
}

function withWebSocket() {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${base.replace("http", "ws")}/ws`, ["scenextras.v1"]);
    const big = "x".repeat(100_000);
    const seen = [];
    socket.on("open", () => {
      socket.send("hello");
      socket.send(big);
    });
    socket.on("message", (data) => {
      seen.push(data.toString().length);
      if (seen.length === 2) socket.close(1000);
    });
    socket.on("close", (code) => resolve([socket.protocol, seen, code]));
    socket.on("error", reject);
  });
}

const clients = { withFetch, withFetchStream, withUndici, withAxios, withEventSource, withWebSocket };
for (const [name, client] of Object.entries(clients)) {
  try {
    results[name] = await client();
  } catch (error) {
    results[name] = `failed: ${error.message}`;
  }
}
console.log(JSON.stringify(results));
process.exit(0);
