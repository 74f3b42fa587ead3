// Where the agents of a workflow stand in a drawing: in layers, with the edges that lead back apart. Data only.
//
// The main axis runs from the entry to the answer, the cross axis along a layer; who draws decides which is which.

const SWEEPS = 12;

/** Who hands what to whom, each pair once. */
export function edgesOf(topology) {
  const edges = new Map();
  for (const from of topology.agents) {
    for (const event of [...from.emits, ...from.fans_out]) {
      for (const to of topology.agents.filter((agent) => agent.consumes.includes(event))) {
        const key = `${from.name} ${to.name}`;
        const edge = edges.get(key) ?? { from: from.name, to: to.name, events: [], fansOut: false, bound: null };
        edge.events.push(event);
        edge.fansOut ||= from.fans_out.includes(event);
        edge.bound ??= topology.bounds[event] ?? null;
        edges.set(key, edge);
      }
    }
  }
  return [...edges.values()];
}

/**
 * Layers, ways and extents.
 *
 * `sizes` = { node: along the main axis, gap: between layers, across: of a node on the cross axis, lane: of a way
 * that passes a layer }. Gives `nodes` by name with `main` and `cross` of their middle, `edges` with the `points`
 * between which they run (none for those that lead `back`), how many `layers` there are, and `cross` in all.
 */
export function layOut(topology, sizes) {
  const edges = markBack(topology, edgesOf(topology));
  const layerOf = layersOf(topology, edges);
  const slots = slotsOf(topology, edges, layerOf);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) order(slots, sweep % 2 === 0);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) place(slots, sizes, sweep % 2 === 0);
  return measured(slots, edges, sizes);
}

/** An edge leads back where it ends in an agent on the way to its start, seen from the entry. */
function markBack(topology, edges) {
  const state = new Map();
  const back = new Set();
  const visit = (name) => {
    state.set(name, "open");
    for (const edge of edges.filter((each) => each.from === name)) {
      if (state.get(edge.to) === "open") back.add(edge);
      else if (!state.has(edge.to)) visit(edge.to);
    }
    state.set(name, "closed");
  };
  const first = topology.agents.filter((agent) => agent.consumes.includes(topology.entry));
  for (const agent of [...first, ...topology.agents]) if (!state.has(agent.name)) visit(agent.name);
  return edges.map((edge) => ({ ...edge, back: back.has(edge) }));
}

/** The longest way from an agent that nothing leads to. */
function layersOf(topology, edges) {
  const layers = new Map();
  const layer = (name) => {
    if (!layers.has(name)) {
      const before = edges.filter((edge) => edge.to === name && !edge.back).map((edge) => layer(edge.from) + 1);
      layers.set(name, Math.max(0, ...before));
    }
    return layers.get(name);
  };
  for (const agent of topology.agents) layer(agent.name);
  return layers;
}

/** The agents, layer by layer, and a slot for every way in each layer that it passes. */
function slotsOf(topology, edges, layerOf) {
  const slots = Array.from({ length: Math.max(...layerOf.values()) + 1 }, () => []);
  const byName = new Map();
  const add = (layer, slot) => {
    slots[layer].push({ ...slot, before: [], after: [], cross: 0 });
    return slots[layer].at(-1);
  };
  for (const { name } of topology.agents) byName.set(name, add(layerOf.get(name), { name }));
  for (const edge of edges.filter((each) => !each.back)) {
    let last = byName.get(edge.from);
    for (let layer = layerOf.get(edge.from) + 1; layer <= layerOf.get(edge.to); layer += 1) {
      const next = layer === layerOf.get(edge.to) ? byName.get(edge.to) : add(layer, { name: null, edge });
      last.after.push(next);
      next.before.push(last);
      last = next;
    }
  }
  return slots;
}

/** Puts each layer in the order of what it is tied to, so that few ways cross. */
function order(slots, isForward) {
  const index = new Map(slots.flatMap((layer) => layer.map((slot, at) => [slot, at - (layer.length - 1) / 2])));
  for (const layer of isForward ? slots : [...slots].reverse()) {
    const wanted = new Map(layer.map((slot) => [slot, mean(tied(slot, isForward), (each) => index.get(each), index.get(slot))]));
    layer.sort((one, other) => wanted.get(one) - wanted.get(other));
    layer.forEach((slot, at) => index.set(slot, at - (layer.length - 1) / 2));
  }
}

/** Moves each layer as near to what it is tied to as its neighbours let it: least squares, pooled where they meet. */
function place(slots, sizes, isForward) {
  for (const layer of isForward ? slots : [...slots].reverse()) {
    let room = 0;
    const pools = [];
    layer.forEach((slot, at) => {
      room += at === 0 ? 0 : (half(layer[at - 1], sizes) + half(slot, sizes));
      const wanted = mean(tied(slot, isForward), (each) => each.cross, slot.cross) - room;
      pools.push({ sum: wanted, slots: [[slot, room]] });
      while (pools.length > 1 && pools.at(-2).sum / pools.at(-2).slots.length > pools.at(-1).sum / pools.at(-1).slots.length) {
        const last = pools.pop();
        pools.at(-1).sum += last.sum;
        pools.at(-1).slots.push(...last.slots);
      }
    });
    for (const pool of pools) for (const [slot, at] of pool.slots) slot.cross = pool.sum / pool.slots.length + at;
  }
}

function tied(slot, isForward) {
  return isForward ? slot.before : slot.after;
}

function mean(items, value, otherwise) {
  return items.length === 0 ? otherwise : items.reduce((sum, item) => sum + value(item), 0) / items.length;
}

function half(slot, sizes) {
  return (slot.name === null ? sizes.lane : sizes.across) / 2;
}

function measured(slots, edges, sizes) {
  const lowest = Math.min(...slots.flat().map((slot) => slot.cross - half(slot, sizes)));
  const highest = Math.max(...slots.flat().map((slot) => slot.cross + half(slot, sizes)));
  const nodes = new Map();
  const ways = new Map(edges.map((edge) => [edge, []]));
  slots.forEach((layer, at) => {
    const main = at * (sizes.node + sizes.gap) + sizes.node / 2;
    for (const slot of layer) {
      const point = { main, cross: slot.cross - lowest };
      if (slot.name === null) ways.get(slot.edge).push(point);
      else nodes.set(slot.name, { ...point, layer: at });
    }
  });
  return {
    nodes,
    edges: edges.map((edge) => ({ ...edge, points: ways.get(edge) })),
    layers: slots.length,
    cross: highest - lowest,
  };
}
