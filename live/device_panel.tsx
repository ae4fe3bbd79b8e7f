/**
 * The device that the browser grants, or what to do where it grants none.
 *
 * @module
 */
import { Fragment, type JSX } from "preact";
import { formatBytes } from "../reports/text/format.ts";
import type { DeviceFound } from "./protocol.ts";
import { MOST_NAME_CHARACTERS } from "./address.ts";
import { browserName } from "./user_agent.ts";

const CAPABILITIES = {
  timestamps: ["GPU timestamps", "times are wall-clock times, which hold the browser's own waits"],
  f16: ["f16 storage", "tensors are f32"],
  subgroups: ["subgroups", "kernels exchange through workgroup memory"],
  matrixUnits: ["matrix units", "products run on the ordinary arithmetic units"],
} as const;

/** The adapter, what it can do, and a field for its name. */
export function DevicePanel(
  { found, name, brief, disabled, onName }: {
    found: DeviceFound;
    /** Only its name, while it measures. */
    brief: boolean;
    name: string;
    disabled: boolean;
    onName: (name: string) => void;
  },
): JSX.Element {
  if (brief) {
    return (
      <p class="device-line">
        On <strong>{name.trim() || found.name}</strong>
        {found.adapter.software && <span class="badge">software adapter</span>}
      </p>
    );
  }
  const names = Object.keys(CAPABILITIES) as (keyof typeof CAPABILITIES)[];
  return (
    <section class="device" aria-labelledby="device-title">
      <h2 id="device-title" tabIndex={-1}>
        {found.name}
        {found.adapter.software && <span class="badge">software adapter</span>}
      </h2>
      {found.adapter.software && (
        <p class="notice different" role="note">
          This adapter computes on the processor, not on a GPU: everything runs, but its times say
          nothing about a GPU. If this computer has one, <code>chrome://gpu</code> (Firefox:{" "}
          <code>about:support</code>) says why the browser does not use it.
        </p>
      )}
      <ul class="capabilities">
        {names.map((key) => (
          <li class={found.capabilities[key] ? "has" : "lacks"}>
            {found.capabilities[key]
              ? CAPABILITIES[key][0]
              : `no ${CAPABILITIES[key][0]}: ${CAPABILITIES[key][1]}`}
          </li>
        ))}
        <li>buffers of at most {formatBytes(found.maxBufferBytes)}</li>
      </ul>
      <label class="device-name">
        Name of the GPU for the report, since browsers tell little of it
        <input
          type="text"
          maxLength={MOST_NAME_CHARACTERS}
          value={name}
          disabled={disabled}
          placeholder={found.name}
          onInput={({ currentTarget }) => onName(currentTarget.value)}
        />
      </label>
    </section>
  );
}

type Family = "chromium" | "safari" | "firefox";

const ADVICE: readonly {
  readonly family: Family;
  readonly title: string;
  readonly text: JSX.Element;
}[] = [
  {
    family: "chromium",
    title: "Chrome, Edge",
    text: (
      <>
        WebGPU is on by default on Windows, macOS, ChromeOS and Android 12 or later. On Linux open
        {" "}
        <code>chrome://flags/#enable-unsafe-webgpu</code>, enable it and{" "}
        <code>#enable-vulkan</code>, and restart. <code>chrome://gpu</code>{" "}
        says whether the GPU is blocked.
      </>
    ),
  },
  {
    family: "safari",
    title: "Safari, and every browser on iOS",
    text: (
      <>
        It is on since version 26 (iOS 26). In Safari before that: Settings, Advanced, Show features
        for web developers, then Feature Flags, WebGPU.
      </>
    ),
  },
  {
    family: "firefox",
    title: "Firefox",
    text: (
      <>
        It is on since version 141 on Windows and 145 on macOS. On Linux open{" "}
        <code>about:config</code> and enable{" "}
        <code>dom.webgpu.enabled</code>; if it then finds no adapter, enable{" "}
        <code>gfx.webgpu.ignore-blocklist</code> too.
      </>
    ),
  },
];

/**
 * Whose settings decide about WebGPU in a browser.
 *
 * @example
 * ```ts
 * import { familyOf } from "./device_panel.tsx";
 * import assert from "node:assert/strict";
 * assert.equal(familyOf("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"), "firefox");
 * ```
 */
export function familyOf(userAgent: string): Family | undefined {
  if (/\biPhone|\biPad/.test(userAgent)) return "safari";
  const name = browserName(userAgent);
  if (/^(Chrome|Edge|Opera|Samsung)/.test(name)) return "chromium";
  return name.startsWith("Safari") ? "safari" : name.startsWith("Firefox") ? "firefox" : undefined;
}

/** Why there is no device, and what helps: the visitor's browser first. */
export function NoDevice(
  { reason, userAgent }: { reason: string; userAgent: string },
): JSX.Element {
  const own = familyOf(userAgent);
  const advice = [...ADVICE].sort((a, b) => Number(b.family === own) - Number(a.family === own));
  return (
    <section class="missing" aria-labelledby="missing-title">
      <h2 id="missing-title">No WebGPU here</h2>
      <p role="status">{reason}</p>
      <dl>
        {advice.map(({ family, title, text }) => (
          <Fragment key={family}>
            <dt>{family === own ? `${title} (this browser)` : title}</dt>
            <dd>{text}</dd>
          </Fragment>
        ))}
        <dt>Any browser</dt>
        <dd>
          The page must come from <code>https</code>, <code>localhost</code>{" "}
          or a file. Private windows and remote desktops often have no GPU. The command line,{" "}
          <code>deno task bench</code>, needs no browser.
        </dd>
      </dl>
      <p>Result files of others can be viewed and compared below without WebGPU.</p>
    </section>
  );
}
