/**
 * What every record of a file allows.
 *
 * @module
 */

/** A record that may have more fields than this version knows; they are kept. */
export interface OpenRecord {
  /** A field of a newer version. */
  [unknown: string]: unknown;
}
