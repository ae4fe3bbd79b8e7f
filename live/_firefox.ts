/**
 * Firefox without a window, driven by WebDriver BiDi over a WebSocket: Playwright drives a build of its
 * own alone.
 *
 * @module
 */

/** A message of the browser: the answer to a command, or an event. */
interface Message {
  readonly id?: number;
  readonly type: "success" | "error" | "event" | "exception";
  readonly method?: string;
  readonly message?: string;
  // deno-lint-ignore no-explicit-any -- as many forms as the protocol has commands
  readonly [part: string]: any;
}

/** A tab, and everything that it did besides showing itself. */
export interface FirefoxTab {
  /** Lines of the console, and errors. */
  readonly complaints: string[];
  /** Addresses that were asked for. */
  readonly requests: string[];
  readonly open: (address: string) => Promise<void>;
  /** The value of an expression, of a promise the one that it keeps; texts and numbers. */
  readonly evaluate: (expression: string) => Promise<unknown>;
  /** The value of an expression as soon as it is truthy: it is looked at after each change of the page. */
  readonly waitFor: (expression: string) => Promise<unknown>;
  readonly setFiles: (selector: string, files: readonly string[]) => Promise<void>;
  /** Size of what is shown, in CSS pixels. */
  readonly resize: (width: number, height: number) => Promise<void>;
  /** What is shown, PNG in base64. */
  readonly screenshot: () => Promise<string>;
  /** Ends the browser. */
  readonly close: () => Promise<void>;
}

/**
 * Starts Firefox with a profile of its own.
 *
 * @throws {Error} with what Firefox said, where it ends before it can be driven.
 */
export async function startFirefox(
  path: string,
  { preferences = {} }: { preferences?: Readonly<Record<string, boolean | number | string>> } = {},
): Promise<FirefoxTab> {
  const profile = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${profile}/user.js`,
    Object.entries(preferences).map(([name, value]) =>
      `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`
    ).join(""),
  );
  const firefox = new Deno.Command(path, {
    args: ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
    env: { HOME: profile },
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const messages = firefox.stderr.getReader();
  const socket = new WebSocket(`${await readAddress(messages)}/session`);
  const pending = new Map<number, (message: Message) => void>();
  const complaints: string[] = [];
  const requests: string[] = [];
  socket.onmessage = ({ data }) => {
    const message: Message = JSON.parse(data);
    if (message.id !== undefined) {
      pending.get(message.id)?.(message);
      pending.delete(message.id);
    } else if (message.method === "log.entryAdded") {
      complaints.push(`${message.params.level}: ${message.params.text}`);
    } else if (message.method === "network.beforeRequestSent") {
      requests.push(message.params.request.url);
    }
  };
  socket.onclose = () => {
    for (const answer of pending.values()) {
      answer({ type: "error", message: "Firefox ended" });
    }
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("Firefox takes no connection"));
  });
  let last = 0;
  const send = async (method: string, params: Record<string, unknown>): Promise<Message> => {
    const id = ++last;
    const message = await new Promise<Message>((resolve) => {
      pending.set(id, resolve);
      socket.send(JSON.stringify({ id, method, params }));
    });
    if (message.type === "error") throw new Error(`${method}: ${message.message}`);
    return message.result;
  };
  await send("session.new", { capabilities: {} });
  const { contexts: [{ context }] } = await send("browsingContext.getTree", {});
  await send("session.subscribe", { events: ["log.entryAdded", "network.beforeRequestSent"] });
  const evaluate = async (expression: string): Promise<unknown> => {
    const answer = await send("script.evaluate", {
      expression,
      target: { context },
      awaitPromise: true,
    });
    if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
    return answer.result.value;
  };
  return {
    complaints,
    requests,
    evaluate,
    open: async (address) => {
      await send("browsingContext.navigate", { context, url: address, wait: "complete" });
    },
    waitFor: (expression) =>
      evaluate(`new Promise((resolve) => {
        const all = { attributes: true, characterData: true, childList: true, subtree: true };
        const observer = new MutationObserver(look);
        function look() {
          const value = ${expression};
          if (!value) return;
          observer.disconnect();
          resolve(value);
        }
        observer.observe(document, all);
        look();
      })`),
    setFiles: async (selector, files) => {
      const { nodes: [{ sharedId }] } = await send("browsingContext.locateNodes", {
        context,
        locator: { type: "css", value: selector },
      });
      await send("input.setFiles", { context, element: { sharedId }, files });
    },
    resize: async (width, height) => {
      await send("browsingContext.setViewport", { context, viewport: { width, height } });
    },
    screenshot: async () => (await send("browsingContext.captureScreenshot", { context })).data,
    close: async () => {
      // Asked to end, it may wait for a device, and its helpers hold its messages open.
      firefox.kill("SIGKILL");
      await firefox.status;
      socket.close();
      await messages.cancel();
      // What a helper still writes there may keep the folder.
      await Deno.remove(profile, { recursive: true }).catch(() => {});
    },
  };
}

/** The address that Firefox names in its messages; the rest of them is read and dropped. */
async function readAddress(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  while (true) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`Firefox did not start: ${text.trim()}`);
    text += decoder.decode(value, { stream: true });
    const found = /WebDriver BiDi listening on (ws:\S+)\n/.exec(text);
    if (!found) continue;
    void (async () => {
      while (!(await reader.read()).done);
    })().catch(() => {});
    return found[1];
  }
}
