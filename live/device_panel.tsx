/**
 * The device that the browser grants, or what to do where it grants none.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatBytes } from "../reports/text/format.ts";
import type { DeviceFound } from "./protocol.ts";

const CAPABILITIES = {
  timestamps: ["GPU timestamps", "times are wall-clock times, which hold the browser's own waits"],
  f16: ["f16 storage", "tensors are f32"],
  subgroups: ["subgroups", "kernels exchange through workgroup memory"],
  matrixUnits: ["matrix units", "products run on the ordinary arithmetic units"],
} as const;

/** The adapter, what it can do, and a field for its name. */
export function DevicePanel(
  { found, name, disabled, onName }: {
    found: DeviceFound;
    name: string;
    disabled: boolean;
    onName: (name: string) => void;
  },
): JSX.Element {
  const names = Object.keys(CAPABILITIES) as (keyof typeof CAPABILITIES)[];
  return (
    <section class="device" aria-labelledby="device-title">
      <h2 id="device-title">
        {found.name}
        {found.adapter.software && <span class="badge">software adapter</span>}
      </h2>
      {found.adapter.software && (
        <p class="notice different" role="note">
          This adapter computes on the processor, not on a GPU: everything runs, and its times say
          nothing about a GPU. Where the computer has one, look at <code>chrome://gpu</code>{" "}
          (Firefox: <code>about:support</code>) for why the browser does not use it.
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
        Name of the GPU, for the report (browsers tell little of it)
        <input
          type="text"
          maxLength={80}
          value={name}
          disabled={disabled}
          placeholder={found.name}
          onInput={({ currentTarget }) => onName(currentTarget.value)}
        />
      </label>
    </section>
  );
}

/** Why there is no device, and what helps, by browser. */
export function NoDevice({ reason }: { reason: string }): JSX.Element {
  return (
    <section class="missing" aria-labelledby="missing-title">
      <h2 id="missing-title">No WebGPU here</h2>
      <p role="status">{reason}</p>
      <dl>
        <dt>Chrome, Edge</dt>
        <dd>
          WebGPU is on by default on Windows, macOS, ChromeOS and Android 12 or later. On Linux open
          {" "}
          <code>chrome://flags/#enable-unsafe-webgpu</code>, enable it and{" "}
          <code>#enable-vulkan</code>, and restart. <code>chrome://gpu</code>{" "}
          says whether the GPU is blocked.
        </dd>
        <dt>Safari</dt>
        <dd>
          Version 26 or later has it on. Before: Settings, Advanced, Show features for web
          developers, then Feature Flags, WebGPU.
        </dd>
        <dt>Firefox</dt>
        <dd>
          On Windows since 141 and on macOS since 145. On Linux open <code>about:config</code>{" "}
          and enable <code>dom.webgpu.enabled</code>; where it finds no adapter then, also{" "}
          <code>gfx.webgpu.ignore-blocklist</code>.
        </dd>
        <dt>Any of them</dt>
        <dd>
          The page must come from <code>https</code>, <code>localhost</code>{" "}
          or a file; private windows and remote desktops often have no GPU. The command line,{" "}
          <code>deno task bench</code>, needs no browser at all.
        </dd>
      </dl>
    </section>
  );
}
