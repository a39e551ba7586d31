//! In: boxes with sizes and the edges between them. Out: where each box stands and each edge runs, in
//! layers from top to bottom: the layer of a box is the longest way to it, an edge over several layers goes
//! through a bend in each, bends and boxes are put beside one another so that few edges cross, and then as
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
pub(super) fn bends(count: usize, edges: &[Edge]) -> usize {
    let layers = layers(count, edges);
    edges.iter().map(|edge| layers[edge.to] - layers[edge.from] - 1).sum()
}

/// The longest way to each box: boxes are given in an order in which edges lead on.
fn layers(count: usize, edges: &[Edge]) -> Vec<usize> {
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
    x: Vec<f64>,
}

/// Places boxes.
pub(super) fn place(boxes: &[Size], edges: &[Edge]) -> Placed {
    let layer_of = layers(boxes.len(), edges);
    let depth = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut items = Items {
        sizes: boxes.to_vec(),
        layers: vec![Vec::new(); depth],
        above: vec![Vec::new(); boxes.len()],
        below: vec![Vec::new(); boxes.len()],
        x: Vec::new(),
    };
    for (index, layer) in layer_of.iter().enumerate() {
        items.layers[*layer].push(index);
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
            items.layers[layer].push(bend);
            let weight = if chain.is_empty() { edge.weight } else { STRAIGHT * edge.weight };
            items.join(last, bend, weight);
            chain.push(bend);
            last = bend;
        }
        items.join(last, edge.to, edge.weight);
        chains.push(chain);
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
    let mut layer_of = layer_of;
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
                        let near = above.chain(self.below[*item].iter().filter(|_| last || !down));
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
