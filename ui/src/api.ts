// The HTTP API: where it is, how its envelope is read, and the shapes of what the pages ask for.

import { keepPreviousData, useQuery } from '@tanstack/react-query';

/** The path that the page lies below: all its own paths have one segment. */
export const base = location.pathname.replace(/[^/]*$/, '');

/** What the API refused, in its own words. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly kind: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export interface Answer<T> {
  data: T;
  warnings: string[];
  infos: string[];
}

export type Params = Record<string, string | number | undefined>;

/** Asks `path` below `/api/v1/`; parameters that are undefined are left out. */
export async function ask<T>(
  path: string,
  params: Params = {},
  options: { signal?: AbortSignal; method?: 'GET' | 'POST' } = {},
): Promise<Answer<T>> {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') form.set(name, String(value));
  }
  const isPost = options.method === 'POST';
  const query = isPost || form.size === 0 ? '' : `?${form}`;
  const init: RequestInit = { method: options.method ?? 'GET' };
  if (options.signal) init.signal = options.signal;
  if (isPost) init.body = form;
  let response: Response;
  try {
    response = await fetch(`${base}api/v1/${path}${query}`, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError('The server does not answer. Is it running, and can this browser reach it?', 'unreachable', 0);
  }
  const text = await response.text();
  let body: { status?: string; data?: T; error?: string; errorType?: string; warnings?: string[]; infos?: string[] };
  try {
    body = JSON.parse(text);
  } catch {
    throw new ApiError(text.slice(0, 2000) || response.statusText, `status ${response.status}`, response.status);
  }
  if (body.status !== 'success') {
    throw new ApiError(body.error ?? text.slice(0, 2000), body.errorType ?? 'error', response.status);
  }
  return { data: body.data as T, warnings: body.warnings ?? [], infos: body.infos ?? [] };
}

/** Asks again each `everyMs`, and keeps what was there until the next answer. */
export function useApi<T>(path: string, params: Params = {}, everyMs?: number) {
  return useQuery({
    queryKey: [path, params],
    queryFn: ({ signal }) => ask<T>(path, params, { signal }),
    placeholderData: keepPreviousData,
    ...(everyMs ? { refetchInterval: everyMs } : {}),
  });
}

export type Labels = Record<string, string>;

export interface Histogram {
  count: string;
  sum: string;
  buckets?: [number, string, string, string][];
}

export interface VectorSample {
  metric: Labels;
  value?: [number, string];
  histogram?: [number, Histogram];
}

export interface MatrixSeries {
  metric: Labels;
  values?: [number, string][];
  histograms?: [number, Histogram][];
}

export interface QueryStats {
  timings: Record<string, number>;
  samples: { totalQueryableSamples: number; samplesRead: number; peakSamples: number };
}

export interface ExplainNode {
  id: number;
  kind: string;
  name: string;
  text: string;
  from: number;
  to: number;
  children: number[];
  steps: number;
  stepInvariant: boolean;
  evaluatedBy: string;
  select?: number;
  stats?: {
    series: number;
    samples: number;
    samplesRead: number;
    memoryBytes: number;
    resultBytes: number;
    wallSeconds: number;
    busySeconds: number;
  };
}

export interface Explanation {
  query: string;
  root: number;
  nodes: ExplainNode[];
  selects: { id: number; selector: string; start: number; end: number; nodes: number[]; series?: number }[];
  pushed: {
    owner: string;
    nodes: { node: number; firstStep: number; steps: number }[];
    series: number;
    samplesRead: number;
    rows: number;
    bytes: number;
    seconds: number;
  }[];
}

export type QueryResult = { stats?: QueryStats; explain?: Explanation } & (
  | { resultType: 'vector'; result: VectorSample[] }
  | { resultType: 'matrix'; result: MatrixSeries[] }
  | { resultType: 'scalar' | 'string'; result: [number, string] }
);

export interface Target {
  discoveredLabels: Labels;
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl: string;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number;
  health: 'up' | 'down' | 'unknown';
  scrapeInterval: string;
  scrapeTimeout: string;
  scraper?: string;
}

export interface Targets {
  activeTargets: Target[];
  droppedTargets: { discoveredLabels: Labels; scrapePool: string }[];
  droppedTargetCounts: Record<string, number>;
}

export interface Replica {
  node: number;
  name: string;
  live: boolean;
  state?: string;
  term?: number;
  leader?: number;
  lastLogIndex?: number;
  appliedIndex?: number;
  series?: number;
  samples?: number;
}

export interface Member {
  node: number;
  name: string;
  role: string;
  zone: string;
  live: boolean;
  grpcAddress: string;
  httpAddress: string;
}

export interface Shard {
  shard: number;
  slots: number;
  publishedUntil?: number;
  blocks: number;
  blockBytes: number;
  replicas: Replica[];
}

export interface Cluster {
  name: string;
  version: number;
  members: Member[];
  control: Replica[];
  shards: Shard[];
  jobs: { id: string; holder: string; kind: string; inputs: number; level: number }[];
}

export interface Block {
  id: string;
  shard: number;
  level: number;
  resolution: number;
  minTime: number;
  maxTime: number;
  series: number;
  samples: number;
  seriesBytes: number;
  chunksBytes: number;
  key: string;
  parents: string[];
  deletes: number;
  tombstoned?: string;
  setAside?: string;
}

export interface Blocks {
  total: number;
  offset: number;
  blocks: Block[];
}

export interface Count {
  name: string;
  value: number;
}

export interface TsdbStatus {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number; minTime: number; maxTime: number };
  seriesCountByMetricName: Count[];
  labelValueCountByLabelName: Count[];
  memoryInBytesByLabelName: Count[];
  seriesCountByLabelValuePair: Count[];
}

export interface ActiveQuery {
  id: number;
  query: string;
  state: 'waiting' | 'running';
  startTime: string;
  durationSeconds: number;
  samplesRead: number;
  memoryBytes: number;
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: string;
  activeAt?: string;
  value: string;
}

export interface Rule {
  name: string;
  query: string;
  type: 'alerting' | 'recording';
  health: string;
  lastError?: string;
  lastEvaluation: string;
  evaluationTime: number;
  labels?: Labels;
  annotations?: Labels;
  state?: string;
  duration?: number;
  alerts?: Alert[];
}

export interface RuleGroup {
  name: string;
  file: string;
  interval: number;
  rules: Rule[];
  lastEvaluation: string;
  evaluationTime: number;
}
