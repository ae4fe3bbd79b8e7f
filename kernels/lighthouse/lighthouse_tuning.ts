/**
 * How the passes of a Lighthouse layer divide their work. Results do not depend on it.
 *
 * @module
 */
/** How the memory-bound passes divide their work among threads. Results do not depend on it. */
export interface LighthouseTuning {
  /** The pass that scores and pools. */
  readonly pyramid?: { readonly rowsInFlight?: number; readonly threads?: number };
  /** The search for parents: see `chooseSelection`. */
  readonly selection?: {
    /** Whether keys are kept in workgroup memory where they fit. Default true. */
    readonly cached?: boolean;
    readonly threads?: number;
    /** Workgroups of a tile. Default 1, or 16 where the selection gathers. */
    readonly parts?: number;
    /** Whether the selection also gathers. Default: where tiles and heads are few. */
    readonly gathers?: boolean;
  };
  /**
   * One dispatch over Q, K and V where a pass is the same for all of them. Default true, where a
   * shader may bind ten storage buffers.
   */
  readonly merged?: boolean;
  /** The gather. */
  readonly gather?: { readonly rowsPerThread?: number; readonly threads?: number };
  /** The scatter, and the scatter of gradients. */
  readonly scatter?: { readonly rowsPerThread?: number; readonly threads?: number };
  /** The gather of output gradients. */
  readonly gatherGradient?: { readonly rowsInFlight?: number; readonly threads?: number };
}
