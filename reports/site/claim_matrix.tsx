/**
 * The claims of the paper in a table, for the pages that show all of them.
 *
 * @module
 */
import type { JSX } from "preact";
import type { ClaimRow, Verdict } from "../claims/claims.ts";
import { Table } from "../charts/figure.tsx";
import { VerdictMark } from "../html/first_screen.tsx";
import { ABSENT, formatPlural } from "../text/format.ts";
import { type ClaimEvidence, deviceEvidence, type Standing, standingOf } from "./evidence.ts";
import { quantityText } from "../claims/claims.ts";
import { shorten, type Site } from "./runs.ts";
import { relative } from "./site_page.tsx";

/** Devices with a column of their own in the table of claims. */
const MOST_COLUMNS = 5;
/** Path of a claim's page; undefined for claims that are not the paper's. */
export function claimPath({ id, verdict }: ClaimRow): string | undefined {
  return verdict === "not the paper's claim" ? undefined : `claims/${id}.html`;
}

const STANDINGS: readonly { standing: Standing; mark: Verdict; word: string }[] = [
  { standing: "reproduced", mark: "reproduced", word: "" },
  { standing: "reproduced on some devices", mark: "reproduced", word: "on some devices only" },
  { standing: "partly", mark: "partly", word: "" },
  { standing: "not reproduced", mark: "not reproduced", word: "" },
  { standing: "not run", mark: "not run", word: "" },
];

/** Number of claims by verdict, over all devices that ran them. */
export function Scoreboard(
  { site, claims }: { site: Site; claims: readonly ClaimEvidence[] },
): JSX.Element {
  const own = claims.filter(({ claim }) => claimPath(claim) !== undefined);
  const standings = own.map((one) => standingOf(one, site.devices));
  return (
    <ul class="score">
      {STANDINGS.map(({ standing, mark, word }) => {
        const count = standings.filter((one) => one === standing).length;
        return count === 0 ? null : (
          <li>
            <b>{count}</b>
            <VerdictMark verdict={mark} />
            {word !== "" && ` ${word}`}
          </li>
        );
      })}
    </ul>
  );
}

/** Claims by device, a verdict in each cell; claims that no device ran are folded, with the reason. */
export function ClaimMatrix(
  { site, claims, path }: { site: Site; claims: readonly ClaimEvidence[]; path: string },
): JSX.Element {
  const own = claims.filter(({ claim }) => claimPath(claim) !== undefined);
  // A device that judged more says more to those who see the first columns alone.
  const judged = (device: Site["devices"][number]) =>
    own.filter((one) => (deviceEvidence(one, device)?.row.verdict ?? "not run") !== "not run")
      .length;
  const devices = site.devices.toSorted((a, b) => judged(b) - judged(a)).slice(0, MOST_COLUMNS);
  const ran = own.filter((one) => standingOf(one, site.devices) !== "not run");
  const open = own.filter((one) => !ran.includes(one));
  return (
    <>
      {ran.length > 0 && (
        <Table
          caption="Claims of the paper and the verdict on each device"
          columns={[
            { title: "Claim" },
            { title: "Paper" },
            ...devices.map(({ name, stack }) => ({ title: `${shorten(name, 36)}, ${stack}` })),
          ]}
          rows={ran.map((one) => [
            <ClaimLink claim={one.claim} path={path} />,
            one.claim.paper.text,
            ...devices.map((device) => {
              const found = deviceEvidence(one, device);
              return found === undefined ? ABSENT : <Judged row={found.row} />;
            }),
          ])}
        />
      )}
      {site.devices.length > devices.length && (
        <p class="source">
          {formatPlural(site.devices.length - devices.length, "device")}{" "}
          without a newer run: on the claims’ own pages.
        </p>
      )}
      {open.length > 0 && (
        <details class="not-run">
          <summary>{formatPlural(open.length, "claim")} that no run here measured, and why</summary>
          <dl class="reasons">
            {[...Map.groupBy(open, ({ claim }) => claim.why)].map(([why, of]) => (
              <>
                <dt>
                  {of.map(({ claim }, i) => (
                    <>
                      {i > 0 && "; "}
                      <ClaimLink claim={claim} path={path} />
                    </>
                  ))}
                </dt>
                <dd>{why}</dd>
              </>
            ))}
          </dl>
        </details>
      )}
    </>
  );
}

function ClaimLink({ claim, path }: { claim: ClaimRow; path: string }): JSX.Element {
  return <a href={relative(path, claimPath(claim)!)}>{claim.claim}</a>;
}

function Judged({ row }: { row: ClaimRow }): JSX.Element {
  return (
    <>
      <VerdictMark verdict={row.verdict} />
      {row.ours !== null && (
        <span class="aside">
          {quantityText(row.ours)}
          {row.software ? ", software adapter" : ""}
        </span>
      )}
    </>
  );
}
