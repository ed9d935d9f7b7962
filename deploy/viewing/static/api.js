// Questions to the server.

export async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
}

export const askJson = async (path, body) => (await ask(path, body)).json();

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

const KINDS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

/** Frames of one answer: the head of each, its counts as `counts` where there are any (little endian, as all browsers are). */
export async function askFrames(path, body) {
  const buffer = await (await ask(path, body)).arrayBuffer();
  const headBytes = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headBytes)));
  const base = 4 + headBytes;
  for (const frame of head.frames) {
    if (frame.bytes === undefined) continue;
    const Kind = KINDS[frame.dtype];
    frame.counts = new Kind(buffer, base + frame.blob_at, frame.bytes / Kind.BYTES_PER_ELEMENT);
  }
  return head;
}
