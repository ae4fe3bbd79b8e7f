/**
 * Waits with a time limit.
 *
 * @module
 */

/**
 * The value of a promise, if it settles in time.
 *
 * @throws {Error} one line, when it does not settle in time.
 */
export async function within<T>(
  promise: Promise<T>,
  { seconds, doing }: { seconds: number; doing: string },
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${doing} took more than ${seconds} s`)),
      1e3 * seconds,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
