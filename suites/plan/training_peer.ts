/**
 * A peer that trains the same model as ours, from the same weights and on the same tokens.
 *
 * @module
 */
import type { Model } from "../../kernels/mod.ts";

/** What trains. */
export interface TrainingPeer {
  /** Why it cannot train this model, one line; undefined if it can. */
  readonly refuses: (model: Model) => string | undefined;
  /** Bytes of device memory that it may hold, an estimate for dividing a device among cases. */
  readonly peakBytes: (model: Model) => number;
  /**
   * Loads weights and tokens; nothing is trained yet.
   *
   * @throws {UnavailableError} when it cannot do so here, with the reason in one line.
   * @throws {MemoryError} when the device has no room.
   */
  readonly prepare: (request: TrainingRequest) => Promise<PeerModel>;
}

/** What a peer trains. */
export interface TrainingRequest {
  /** With all defaults filled in. */
  readonly model: Model;
  /** File of our model before its first step, as `saveCheckpoint` writes it. */
  readonly checkpoint: string;
  /**
   * File of u32 little-endian `[batches, accumulate · batch, N + 1]`: each sequence with the token
   * after its last. Step i trains on batch i modulo `batches`, as ours does.
   */
  readonly tokens: string;
  /** Batches in that file. */
  readonly batches: number;
  /** Stops long work. */
  readonly signal?: AbortSignal;
}

/** A step of a peer. */
export interface PeerStep {
  /** Seconds by the device's own clock; null if it has none. */
  readonly gpuSeconds: number | null;
  /** Seconds by the host's clock. */
  readonly wallSeconds: number;
  /** Mean loss of its tokens before the update, in nats. */
  readonly loss: number;
  /** Most bytes of device memory so far, where it tells. */
  readonly peakBytes?: number;
}

/**
 * A model of a peer; it has run once without an update, so that its first step is an ordinary one.
 */
export interface PeerModel {
  /** What readers should know, one line each: `attention through FLASH_ATTENTION, …`. */
  readonly notes?: readonly string[];
  /** One whole step: forward, backward, clipping, update. */
  readonly step: () => Promise<PeerStep>;
  /** For tests: mean loss of a batch and its gradients by parameter, f32, without an update. */
  readonly gradients?: (batch: number) => Promise<{
    readonly loss: number;
    readonly read: (parameter: string) => Promise<Float32Array>;
  }>;
  /** For tests: a parameter, f32. */
  readonly readWeights?: (parameter: string) => Promise<Float32Array>;
  /** Frees everything. */
  readonly destroy: () => void | Promise<void>;
}
