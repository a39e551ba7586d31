//! In: boxes with sizes and the edges between them. Out: where each box stands and each edge runs, in
//! layers from top to bottom: an edge over several layers goes through a bend in each, bends and boxes are put beside one another so that few edges cross, and then as
//! straight below one another as their widths allow. Never: a walk that does not end; edges lead to later
//! boxes only.

/// A box to place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// What it takes to the left of its middle.
    pub left: f64,
    /// What it takes to the right.
    pub right: f64,
    /// From top to bottom.
    pub height: f64,
}

/// An edge to a later box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    /// How much it matters that it is straight.
    pub weight: f64,
}

/// Where things are.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// Middle and top of each box.
    pub boxes: Vec<(f64, f64)>,
    /// Bends of each edge, from top to bottom: x, top, bottom.
    pub bends: Vec<Vec<(f64, f64, f64)>>,
    pub width: f64,
    pub height: f64,
}

/// Between two things of a layer, and between two layers.
const GAP: (f64, f64) = (26.0, 40.0);
/// Half of what a bend takes.
const BEND: f64 = 4.0;
/// How often orders and places are improved, down and up.
const ROUNDS: usize = 12;
/// How much straighter an edge has to be between two bends.
const STRAIGHT: f64 = 4.0;

/// How many bends the edges need.
pub(super) fn bends(layers: &[usize], edges: &[Edge]) -> usize {
    edges.iter().map(|edge| layers[edge.to] - layers[edge.from] - 1).sum()
}

/// The longest way to each box: boxes are given in an order in which edges lead on.
pub(super) fn longest_ways(count: usize, edges: &[Edge]) -> Vec<usize> {
    let mut layers = vec![0; count];
    let mut sorted: Vec<&Edge> = edges.iter().collect();
    sorted.sort_by_key(|edge| edge.from);
    for edge in sorted {
        layers[edge.to] = layers[edge.to].max(layers[edge.from] + 1);
    }
    layers
}

/// Boxes and bends, as one.
struct Items {
    sizes: Vec<Size>,
    layers: Vec<Vec<usize>>,
    /// Neighbours above and below, with the weight of the edge.
    above: Vec<Vec<(usize, f64)>>,
    below: Vec<Vec<(usize, f64)>>,
    /// The two ends of an edge with bends: they stand below one another rather than follow the bends, or
    /// each bend would move the rest of the picture to the side.
    aligned: Vec<Vec<(usize, f64)>>,
    x: Vec<f64>,
}

/// The boxes from the first one on, along the edges of each in the order in which they are given: who comes
/// first starts at the left.
fn from_left(count: usize, edges: &[Edge]) -> Vec<usize> {
    let mut ways: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in edges.iter().rev() {
        ways[edge.from].push(edge.to);
    }
    let mut seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    let mut work: Vec<usize> = (0..count).rev().collect();
    while let Some(item) = work.pop() {
        if !std::mem::replace(&mut seen[item], true) {
            order.push(item);
            work.extend(&ways[item]);
        }
    }
    order
}

/// Places boxes, whose layers are given; every edge leads to a later layer.
pub(super) fn place(boxes: &[Size], edges: &[Edge], layer_of: &[usize]) -> Placed {
    let depth = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut items = Items {
        sizes: boxes.to_vec(),
        layers: vec![Vec::new(); depth],
        above: vec![Vec::new(); boxes.len()],
        below: vec![Vec::new(); boxes.len()],
        aligned: vec![Vec::new(); boxes.len()],
        x: Vec::new(),
    };
    // Where each thing stands from the left before the order is improved.
    let mut ranks = vec![0.0; boxes.len()];
    for (rank, item) in from_left(boxes.len(), edges).into_iter().enumerate() {
        ranks[item] = rank as f64;
        items.layers[layer_of[item]].push(item);
    }
    let mut chains: Vec<Vec<usize>> = Vec::with_capacity(edges.len());
    for edge in edges {
        let mut chain = Vec::new();
        let mut last = edge.from;
        for layer in layer_of[edge.from] + 1..layer_of[edge.to] {
            let bend = items.sizes.len();
            items.sizes.push(Size { left: BEND, right: BEND, height: 0.0 });
            items.above.push(Vec::new());
            items.below.push(Vec::new());
            items.aligned.push(Vec::new());
            items.layers[layer].push(bend);
            // What matters more stays at the left of what it leads past.
            let rank = ranks[edge.from] + 0.5;
            ranks.push(if edge.weight > 1.0 { rank } else { rank.max(ranks[edge.to]) });
            let weight = if chain.is_empty() { edge.weight } else { STRAIGHT * edge.weight };
            items.join(last, bend, weight);
            chain.push(bend);
            last = bend;
        }
        items.join(last, edge.to, edge.weight);
        if !chain.is_empty() {
            items.aligned[edge.from].push((edge.to, STRAIGHT * edge.weight));
            items.aligned[edge.to].push((edge.from, STRAIGHT * edge.weight));
        }
        chains.push(chain);
    }
    for layer in &mut items.layers {
        layer.sort_by(|a, b| ranks[*a].total_cmp(&ranks[*b]));
    }
    items.order();
    items.straighten();

    let mut tops = Vec::with_capacity(depth);
    let mut height = 0.0;
    for layer in &items.layers {
        let tallest = layer.iter().map(|item| items.sizes[*item].height).fold(0.0, f64::max);
        tops.push((height, tallest));
        height += tallest + GAP.1;
    }
    let least = |take: fn(&Size, f64) -> f64, pick: fn(f64, f64) -> f64, start: f64| {
        items.sizes.iter().zip(&items.x).map(|(size, x)| take(size, *x)).fold(start, pick)
    };
    let left = least(|size, x| x - size.left, f64::min, f64::INFINITY);
    let right = least(|size, x| x + size.right, f64::max, f64::NEG_INFINITY);
    let mut layer_of = layer_of.to_vec();
    layer_of.resize(items.sizes.len(), 0);
    for (layer, members) in items.layers.iter().enumerate() {
        for member in members {
            layer_of[*member] = layer;
        }
    }
    let x = |item: usize| items.x[item] - left;
    Placed {
        boxes: (0..boxes.len()).map(|item| (x(item), tops[layer_of[item]].0)).collect(),
        bends: chains
            .iter()
            .map(|chain| {
                let bend = |item: &usize| {
                    let (top, tallest) = tops[layer_of[*item]];
                    (x(*item), top, top + tallest)
                };
                chain.iter().map(bend).collect()
            })
            .collect(),
        width: if boxes.is_empty() { 0.0 } else { right - left },
        height: (height - GAP.1).max(0.0),
    }
}

impl Items {
    fn join(&mut self, from: usize, to: usize, weight: f64) {
        self.below[from].push((to, weight));
        self.above[to].push((from, weight));
    }

    /// Orders each layer by the mean place of the neighbours above, then below, in turn.
    fn order(&mut self) {
        let mut place = vec![0.0; self.sizes.len()];
        for round in 0..2 * ROUNDS {
            let down = round % 2 == 0;
            let mut layers: Vec<usize> = (0..self.layers.len()).collect();
            if !down {
                layers.reverse();
            }
            for layer in layers {
                let members = &mut self.layers[layer];
                for (index, item) in members.iter().enumerate() {
                    place[*item] = index as f64;
                }
                let neighbours = if down { &self.above } else { &self.below };
                let mean = |item: usize| {
                    let near = &neighbours[item];
                    if near.is_empty() {
                        return place[item];
                    }
                    near.iter().map(|(other, _)| place[*other]).sum::<f64>() / near.len() as f64
                };
                members.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
                for (index, item) in members.iter().enumerate() {
                    place[*item] = index as f64;
                }
            }
        }
    }

    /// Moves each layer as near to its neighbours as its widths allow, in turn.
    fn straighten(&mut self) {
        self.x = vec![0.0; self.sizes.len()];
        for layer in 0..self.layers.len() {
            self.spread(layer, |_| None);
        }
        for round in 0..2 * ROUNDS {
            let down = round % 2 == 0;
            let mut layers: Vec<usize> = (0..self.layers.len()).collect();
            if !down {
                layers.reverse();
            }
            let last = round + 2 >= 2 * ROUNDS;
            for layer in layers {
                let targets: Vec<Option<(f64, f64)>> = self.layers[layer]
                    .iter()
                    .map(|item| {
                        let above = self.above[*item].iter().filter(|_| last || down);
                        let below = self.below[*item].iter().filter(|_| last || !down);
                        let near = above.chain(below).chain(&self.aligned[*item]);
                        let add = |(sum, weights): (f64, f64), (other, weight): &(usize, f64)| {
                            (sum + self.x[*other] * weight, weights + weight)
                        };
                        let (sum, weight) = near.fold((0.0, 0.0), add);
                        (weight > 0.0).then(|| (sum / weight, weight))
                    })
                    .collect();
                self.spread(layer, |index| targets[index]);
            }
        }
    }

    /// Puts a layer where it wants to be, by least squares, in its order and without overlaps: things that
    /// would overlap are moved as one (the pool-adjacent-violators algorithm).
    fn spread(&mut self, layer: usize, target: impl Fn(usize) -> Option<(f64, f64)>) {
        let members = &self.layers[layer];
        // Sums of weighted targets and weights, number of members; each member's distance from the first.
        let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
        let mut offsets = Vec::with_capacity(members.len());
        let mut offset = 0.0;
        for (index, item) in members.iter().enumerate() {
            if index > 0 {
                offset += self.sizes[members[index - 1]].right + GAP.0 + self.sizes[*item].left;
            }
            offsets.push(offset);
            // What has no neighbours stays near where it is.
            let (wanted, weight) = target(index).unwrap_or((self.x[*item], 0.01));
            blocks.push(((wanted - offset) * weight, weight, 1));
            while let [.., before, last] = &mut blocks[..] {
                if before.0 / before.1 <= last.0 / last.1 {
                    break;
                }
                *before = (before.0 + last.0, before.1 + last.1, before.2 + last.2);
                blocks.pop();
            }
        }
        let mut index = 0;
        for (sum, weight, count) in blocks {
            for _ in 0..count {
                self.x[self.layers[layer][index]] = sum / weight + offsets[index];
                index += 1;
            }
        }
    }
}
