/**
 * The GPUs of this machine, for people: which one is used, and how a process gets another.
 *
 * @module
 */
import type { NvidiaCard } from "./nvidia.ts";

/** What a stack found; its adapters are listed if no tool lists cards. */
export interface FoundAdapter {
  /** Which stack. */
  readonly stack: string;
  /** The adapter's name. */
  readonly name: string;
  /** Whether it computes on the processor. */
  readonly software: boolean;
}

const SEVERAL = [
  "  Both stacks use the first one and cannot distinguish equal cards. A process gets another",
  "  if the others are hidden from it: by a container (docker run --gpus device=1 ...), or by a",
  "  Slurm job (--gres=gpu:1, with ConstrainDevices=yes in cgroup.conf). Two such processes run",
  "  side by side. CUDA_VISIBLE_DEVICES does nothing: Vulkan does not read it.",
];

const HIDDEN = [
  "  No stack shows any of them: Vulkan does not find NVIDIA's driver. In a container",
  "  NVIDIA_DRIVER_CAPABILITIES must hold graphics, or be all. The driver wants the packages",
  "  libvulkan1, libegl1 and libgl1; where its nvidia_icd.json is in no usual place,",
  "  VK_DRIVER_FILES must name that file.",
];

/**
 * Lines for a terminal.
 *
 * @param cards from `nvidia-smi`, in bus order; empty without that tool.
 * @param options.taken the card that the adapters use, if known.
 */
export function describeGpus(
  cards: readonly NvidiaCard[],
  { adapters, taken, bytes }: {
    adapters: readonly FoundAdapter[];
    taken?: NvidiaCard;
    bytes: (count: number) => string;
  },
): string[] {
  if (cards.length === 0) {
    const names = adapters.map(({ name, software }) => name + (software ? " (software)" : ""));
    const found = [...new Set(names)].join(", ") || "none";
    return [`GPUs, as the stacks name their adapters: ${found}`];
  }
  const hidden = adapters.every(({ software }) => software);
  const several = cards.length > 1;
  return [
    `GPUs: ${cards.length}; nvidia-smi lists those that this process may use`,
    ...cards.map((card) =>
      `  ${card.busId}  ${card.name}` +
      (card.memoryBytes === null ? "" : `, ${bytes(card.memoryBytes)}`) +
      (several && !hidden && card === taken ? "  <- taken" : "")
    ),
    ...hidden ? HIDDEN : several ? SEVERAL : [],
  ];
}
