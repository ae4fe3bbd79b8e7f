/**
 * Completion scripts for bash, zsh and fish, made from the options of the commands. A script needs
 * no Deno while one types. It completes `deno task COMMAND …` inside a checkout of this project and
 * leaves everything else to the completion of `deno` that was there before.
 *
 * @module
 */
import manifest from "../../deno.json" with { type: "json" };
import { type Completed, completedArgument, completedOption } from "./command.ts";

/** A command of commander, as far as completion reads it. */
export interface CompletedCommand {
  readonly options: readonly {
    readonly flags: string;
    readonly short?: string;
    readonly long?: string;
    readonly description: string;
    readonly required: boolean;
    readonly argChoices?: readonly string[];
  }[];
  readonly registeredArguments: readonly {
    name(): string;
    readonly argChoices?: readonly string[];
  }[];
}

/** Shells that have a script. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Commands by the name of their task, with what the list of tasks says of each. */
export type CompletedCommands = Readonly<
  Record<string, { readonly description: string; readonly command: CompletedCommand }>
>;

/** The script of a shell. */
export function completionScript(
  shell: typeof SHELLS[number],
  commands: CompletedCommands,
): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](commands);
}

interface Flag {
  readonly names: readonly string[];
  readonly description: string;
  /** What it takes; undefined for a switch. */
  readonly value: Completed | undefined;
}

function flagsOf({ options }: CompletedCommand): Flag[] {
  const help = { names: ["-h", "--help"], description: "print this help", value: undefined };
  return [
    ...options.map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined),
      description: option.description,
      value: option.required ? completedOption(option) : undefined,
    })),
    help,
  ];
}

function argumentOf({ registeredArguments: [first] }: CompletedCommand): Completed {
  return first ? completedArgument(first) : { names: [], list: false, path: false };
}

/** Whether the folder belongs to this project, as a function of the shells that know `while`. */
const IN_PROJECT = `__lighthouse_in_project() {
  local folder=$PWD
  while [[ -n $folder && ! -f $folder/deno.json ]]; do folder=\${folder%/*}; done
  grep -qs '"${manifest.name}"' "$folder/deno.json"
}`;

function bashScript(commands: CompletedCommands): string {
  const cases = Object.entries(commands).map(([name, { command }]) => {
    const flags = flagsOf(command);
    const argument = argumentOf(command);
    const values = flags.flatMap(({ names, value }) =>
      value === undefined ? [] : [`      ${names.join("|")}) ${bashValue(value)} ;;`]
    );
    return [
      `    ${name})`,
      `      flags="${flags.flatMap(({ names }) => names).join(" ")}"`,
      `      case $before in`,
      ...values,
      `      *) ${bashValue(argument)}; other=1 ;;`,
      "      esac ;;",
    ].join("\n");
  });
  return `# Completion of "deno task" for bash, in checkouts of ${manifest.name}.
# Load it with: eval "$(deno task -q completion bash)"
${IN_PROJECT}

__lighthouse_complete() {
  local words=() word
  # Bash parts words at "=".
  for word in "\${COMP_WORDS[@]:0:COMP_CWORD+1}"; do [[ $word == = ]] || words+=("$word"); done
  [[ \${COMP_WORDS[COMP_CWORD]} != = ]] || words+=("")
  local last=$((\${#words[@]} - 1)) at=1 names= flags= list= path= other=
  while [[ \${words[at]} == -* && at -lt last ]]; do ((at++)); done
  if [[ \${words[at]} != task || at -ge last ]] || ! __lighthouse_in_project; then
    __lighthouse_fallback "$@"
    return
  fi
  ((at++))
  while [[ \${words[at]} == -* && at -lt last ]]; do ((at++)); done
  local current=\${words[last]} before=\${words[last - 1]} first=
  COMPREPLY=()
  if ((at == last)); then
    COMPREPLY=($(compgen -W "${Object.keys(manifest.tasks).join(" ")}" -- "$current"))
    return
  fi
  case \${words[at]} in
${cases.join("\n")}
    *) __lighthouse_fallback "$@"; return ;;
  esac
  if [[ $other && $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
    return
  fi
  if [[ $list && $current == *,* ]]; then
    first=\${current%,*},
    current=\${current##*,}
  fi
  COMPREPLY=($(compgen -P "$first" -W "$names" -- "$current"))
  if [[ $path ]]; then
    compopt -o filenames 2>/dev/null
    local IFS=$'\\n'
    COMPREPLY+=($(compgen -f -- "$current"))
  fi
}

# What completed deno before.
__lighthouse_found=$(complete -p deno 2>/dev/null | sed -n 's/.* -F \\([^ ]*\\) .*/\\1/p')
[[ $__lighthouse_found == __lighthouse_complete ]] || __lighthouse_before=$__lighthouse_found
__lighthouse_fallback() {
  [[ -z $__lighthouse_before ]] || "$__lighthouse_before" "$@"
}
complete -o default -F __lighthouse_complete deno
`;
}

function bashValue({ names, list, path }: Completed): string {
  const parts = [
    ...(names.length > 0 ? [`names="${names.join(" ")}"`] : []),
    ...(list ? ["list=1"] : []),
    ...(path ? ["path=1"] : []),
  ];
  return parts.join("; ") || ":";
}

function zshScript(commands: CompletedCommands): string {
  const cases = Object.entries(commands).map(([name, { command }]) => {
    const specs = flagsOf(command).map(({ names, description, value }) => {
      const text = description.replace(/[\[\]:\\]/g, "\\$&");
      const takes = value === undefined ? "" : `:value:${zshValue(value)}`;
      const long = names.at(-1)!;
      const both = names.length > 1 ? `'(${names.join(" ")})'{${names.join(",")}}` : "";
      const spec = `${value === undefined ? "" : "="}[${text}]${takes}`;
      return `      ${both === "" ? quote(`${long}${spec}`) : `${both}${quote(spec)}`} \\`;
    });
    return [
      `    ${name})`,
      "      _arguments -S \\",
      ...specs,
      `      ${quote(`*:argument:${zshValue(argumentOf(command))}`)} ;;`,
    ].join("\n");
  });
  const tasks = Object.entries(manifest.tasks).map(([name, { description }]) =>
    `      ${quote(`${name.replaceAll(":", "\\:")}:${description}`)}`
  );
  return `#compdef deno
# Completion of "deno task" for zsh, in checkouts of ${manifest.name}.
# Load it after compinit with: eval "$(deno task -q completion zsh)"
${IN_PROJECT}

__lighthouse_complete() {
  local at=2
  while [[ $words[at] == -* ]] && (( at < CURRENT )); do (( at++ )); done
  if [[ $words[at] != task ]] || (( at >= CURRENT )) || ! __lighthouse_in_project; then
    __lighthouse_fallback
    return
  fi
  (( at++ ))
  while [[ $words[at] == -* ]] && (( at < CURRENT )); do (( at++ )); done
  if (( at == CURRENT )); then
    local tasks=(
${tasks.join("\n")}
    )
    _describe task tasks
    return
  fi
  words=("\${(@)words[at,-1]}")
  (( CURRENT -= at - 1 ))
  case $words[1] in
${cases.join("\n")}
    *) _files ;;
  esac
}

# What completed deno before.
[[ $_comps[deno] == __lighthouse_complete ]] || __lighthouse_before=$_comps[deno]
__lighthouse_fallback() {
  if [[ -n $__lighthouse_before ]]; then $__lighthouse_before; else _files; fi
}
compdef __lighthouse_complete deno
`;
}

function zshValue({ names, list, path }: Completed): string {
  if (list) return `_values -s , name ${names.join(" ")}`;
  if (names.length > 0) return `(${names.join(" ")})`;
  return path ? "_files" : " ";
}

function fishScript(commands: CompletedCommands): string {
  const lines = Object.entries(commands).flatMap(([name, { command }]) => {
    const condition = `complete -c deno -n ${quote(`__lighthouse_command ${name}`)}`;
    const argument = argumentOf(command);
    const flags = flagsOf(command).map(({ names, description, value }) => {
      const spelled = names.map((one) =>
        one.startsWith("--") ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`
      );
      const takes = value === undefined ? [] : [value.path ? "-rF" : "-x", ...fishNames(value)];
      return [condition, ...spelled, ...takes, `-d ${quote(description)}`].join(" ");
    });
    const files = argument.path ? "-F" : "-f";
    return [[condition, files, ...fishNames(argument)].join(" "), ...flags];
  });
  const tasks = Object.entries(manifest.tasks).map(([name, { description }]) =>
    `complete -c deno -n __lighthouse_task -fa ${quote(name)} -d ${quote(description)}`
  );
  return `# Completion of "deno task" for fish, in checkouts of ${manifest.name}.
# Load it with: deno task -q completion fish | source

# Deno's own completion removes every other when it is loaded, so it comes first.
complete -C 'deno ' >/dev/null

function __lighthouse_in_project
    set -l folder $PWD
    while test -n "$folder" -a ! -f "$folder/deno.json"
        set folder (string replace -r '/[^/]*$' '' $folder)
    end
    grep -qs '"${manifest.name}"' "$folder/deno.json"
end

# The words after "deno" that are no flags.
function __lighthouse_words
    string match -v -- '-*' (commandline -opc)[2..-1]
end

function __lighthouse_task
    set -l words (__lighthouse_words)
    test (count $words) -eq 1 -a "$words[1]" = task
    and __lighthouse_in_project
end

function __lighthouse_command
    set -l words (__lighthouse_words)
    test (count $words) -ge 2 -a "$words[1]" = task -a "$words[2]" = $argv[1]
    and __lighthouse_in_project
end

# Names that follow what a list has already.
function __lighthouse_list
    set -l before (string match -r '^(?:--[^=]*=)?(.*,)' -- (commandline -ct))[2]
    printf '%s\\n' $before$argv
end

${[...tasks, ...lines].join("\n")}
`;
}

function fishNames({ names, list }: Completed): string[] {
  if (names.length === 0) return [];
  return [`-a ${quote(list ? `(__lighthouse_list ${names.join(" ")})` : names.join(" "))}`];
}

/** A word of a shell. Fish reads a backslash in quotes, the others do not. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "’")}'`;
}
