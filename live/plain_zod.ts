/**
 * Keeps zod from compiling its checks, which takes `eval`: the page's policy forbids that, and Firefox
 * reports each try. Imported before any schema is made.
 *
 * @module
 */
import { config } from "zod";

config({ jitless: true });
