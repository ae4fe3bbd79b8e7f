/** Compares pages with reference pictures. */
import type { Page } from "playwright-core";

/** Folder of the pictures. */
const LOOKS = new URL("_looks/", import.meta.url);
/** Pixels of a picture, and of the tiles that are compared separately. */
const PICTURE = { width: 192, height: 144, tile: 16 };
/**
 * Largest mean difference of a tile's channels, 0 to 255. All letters are drawn as one block (a font
 * of 860 bytes beside the pictures), so that the fonts of a machine make no difference. A mean over
 * the whole picture would not see a missing part of a figure. Found: 0.0 for the same page, 8.5
 * without a legend, 7.4 without the names of a chart's guides.
 */
const LOOK_TOLERANCE = 4;

/** Draws every letter as one block. */
export const BLOCKS = `@font-face{font-family:Blocks;src:url(data:font/ttf;base64,${
  (await Deno.readFile(new URL("blocks.ttf", LOOKS))).toBase64()
})}*{font-family:Blocks!important}`;

/** A screenshot scaled down, and the largest difference of a part of it from the kept picture. */
export async function compareLook(
  page: Page,
  { name, canvas, update }: { name: string; canvas: Page; update: boolean },
): Promise<void> {
  const shot = (await page.screenshot({ animations: "disabled" })).toString("base64");
  const file = new URL(`${name}.png`, LOOKS);
  const kept = update ? null : (await Deno.readFile(file)).toBase64();
  const found = await canvas.evaluate(async ({ shot, kept, PICTURE: { width, height, tile } }) => {
    const picture = async (png: string) => {
      const image = new Image();
      image.src = `data:image/png;base64,${png}`;
      await image.decode();
      const surface = document.createElement("canvas");
      Object.assign(surface, { width, height });
      const context = surface.getContext("2d")!;
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, width, height);
      return { surface, pixels: context.getImageData(0, 0, width, height).data };
    };
    const now = await picture(shot);
    const png = now.surface.toDataURL("image/png").split(",")[1];
    if (kept === null) return { png, difference: 0, where: "" };
    const then = await picture(kept);
    let worst = { difference: 0, where: "" };
    for (let top = 0; top < height; top += tile) {
      for (let left = 0; left < width; left += tile) {
        let sum = 0;
        for (let y = top; y < top + tile; y++) {
          for (let at = 4 * (y * width + left); at < 4 * (y * width + left + tile); at++) {
            sum += Math.abs(now.pixels[at] - then.pixels[at]);
          }
        }
        // Three of the four channels have colour.
        const difference = sum / (3 * tile * tile);
        const where = `${Math.round(100 * left / width)} % from the left, ` +
          `${Math.round(100 * top / height)} % from the top`;
        if (difference > worst.difference) worst = { difference, where };
      }
    }
    return { png, ...worst };
  }, { shot, kept, PICTURE });
  if (update) await Deno.writeFile(file, Uint8Array.fromBase64(found.png));
  if (found.difference > LOOK_TOLERANCE) {
    throw new Error(
      `${name} looks different, by ${found.difference.toFixed(1)} ${found.where}; the limit is ` +
        `${LOOK_TOLERANCE}. If it is meant, run _browser_checks.ts with --update. Now: ` +
        `data:image/png;base64,${found.png}`,
    );
  }
}
