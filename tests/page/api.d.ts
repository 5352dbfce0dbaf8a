// What the page reads of the API, as its document says; and the page's own common shapes.

interface DropCounts {
  decode: number;
  ring: number;
  engine: number;
}

interface MemoryStats {
  num_visual_tokens_kept: number;
  num_visual_tokens_over_budget: number;
  num_kept_by_tier: Record<string, number>;
  num_compressions: number;
  cache_bytes: number;
  ttft_seconds: number | null;
}

interface StreamStatus {
  name: string;
  state: string;
  reason: string | null;
  source: string | null;
  policy: string;
  budget_tokens: number | null;
  owner: number | null;
  fps: number | null;
  zero_wall_seconds: number | null;
  newest_pts_seconds: number | null;
  lag_seconds: number;
  declared_fps: number | null;
  delivered_fps: number;
  num_frames: number;
  num_reconnections: number;
  dropped: DropCounts;
  memory: MemoryStats | null;
}

interface Capacity {
  num_streams: number;
  max_streams: number;
  more_streams: number;
  limit: string;
  memory_bytes: number | null;
  used_bytes: number;
  stream_bytes: number | null;
  num_open_questions: number;
  max_open_questions: number;
  busy_share: number;
  frame_seconds: number | null;
}

interface Health {
  is_live: boolean;
  is_ready: boolean;
  reasons: string[];
  num_waiting_writes: number;
  num_lost_events: number;
  num_engine_failures: number;
}

interface Figures {
  wall_seconds: number;
  streams: StreamStatus[];
  capacity: Capacity;
  health: Health;
}

interface Who {
  needs_keys: boolean;
  label: string | null;
  key: number | null;
  scopes: string[];
}

interface About {
  version: string;
  versions: Record<string, string>;
  machine: string;
  device_name: string;
  num_threads: number;
  model: {
    name: string;
    family: string;
    knows: string | null;
    device: string;
    dtype: string;
    num_layers: number;
    default_fps: number;
    default_budget_tokens: number;
  };
  limits: { allow_sources: string[] };
}

interface ServerEventBody {
  id: number;
  kind: string;
  stream: string | null;
  pts_seconds: number | null;
  wall_seconds: number;
  payload: Record<string, any>;
  picture_url: string | null;
}

interface Evidence {
  seconds: number;
  share: number;
  picture_url: string | null;
}

interface Answer {
  text: string;
  finish_reason: string;
  ttft_seconds: number | null;
  ttft_with_pending_seconds: number | null;
  tokens_per_second?: number | null;
  confidence: number | null;
  clarification?: boolean;
  guess?: string | null;
  evidence: Evidence[];
}

interface QuestionRecord {
  id: number;
  answer_id: string;
  stream: string;
  asked_wall_seconds: number;
  pts_seconds: number | null;
  question: string;
  answer: string;
  finish_reason: string;
  failure: string | null;
  ttft_seconds: number | null;
  ttft_with_pending_seconds: number | null;
  confidence: number | null;
  clarification?: boolean;
  guess?: string | null;
  evidence: Evidence[];
}

type Tier = "sensory" | "working" | "long_term";

interface LayerMoments {
  layer_idx: number;
  tier: Tier;
  num_tokens: number;
  num_summary_tokens: number;
  seconds: number[];
  tokens_of: number[];
}

interface Memory {
  stream: string;
  layers: LayerMoments[];
  pictures: { seconds: number; picture_url: string | null }[];
}

interface Policy {
  name: string;
  summary: string;
  paper: string | null;
}

interface Schedule {
  days: string[];
  begins: string;
  ends: string;
  time_zone?: string | null;
}

/** Shares of the picture's width and height, from the top left. */
type Point = [number, number];

interface Watch {
  id: number;
  name: string;
  question: string;
  kind: "alert" | "state" | "count" | "describe";
  options: string[] | null;
  answer: string | null;
  raise_at: number;
  clear_at: number | null;
  hold_seconds: number;
  cooldown_seconds: number;
  max_per_hour: number | null;
  pre_seconds: number;
  post_seconds: number;
  schedule: Schedule | null;
  context: string | null;
  also: string[];
  given: string | null;
  keeps_given: boolean;
  onset: string | null;
  nth: number | null;
  newest_seconds: number | null;
  region: Point[] | null;
  severity: "info" | "warning" | "alarm";
  is_on: boolean;
  state: { value: string | null; score: number | null; since_seconds: number | null; snoozed_until_seconds: number | null };
  failure: string | null;
  warnings?: string[];
}

interface Incident {
  id: string;
  stream: string;
  name: string;
  question: string;
  severity: "info" | "warning" | "alarm";
  status: "open" | "ended";
  started_seconds: number;
  ended_seconds?: number | null;
  started_at: string;
  score: number;
  summary?: string | null;
  pictures?: { stream_seconds: number; url: string }[];
  num_updates: number;
  reviewed: boolean;
}

interface Place {
  view: string;
  stream: string | null;
  query: URLSearchParams;
}

/** Shows a view in an element; returns what ends it. */
type ViewShow = (root: HTMLElement, place: Place) => (() => void) | void;
