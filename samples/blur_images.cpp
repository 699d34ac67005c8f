// Blurs a batch of images on all CPUs, while a ticker of 5 ms stays punctual: each routine that blurs yields after
// every row of an image.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <utility>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

using image = std::vector<std::uint8_t>;  // side x side grey pixels, row by row

constexpr std::size_t side = 512;
constexpr std::size_t radius = 6;

// Noise, which depends on the seed.
image generate_image(std::uint32_t seed) {
  image pixels(side * side);
  for (auto& pixel : pixels) {
    seed = seed * 1664525 + 1013904223;
    pixel = static_cast<std::uint8_t>(seed >> 24);
  }
  return pixels;
}

// Replaces each pixel by the mean of its neighbours in the row; the image is mirrored at its edges. The result is
// transposed: a second call blurs the columns, and transposes the image back.
task<image> blur_rows_and_turn(const image& in) {
  image out(side * side);
  std::vector<std::uint8_t> padded(side + 2 * radius);
  for (std::size_t y = 0; y < side; ++y) {
    const std::uint8_t* const row = &in[y * side];
    std::copy_n(row, side, padded.begin() + radius);
    for (std::size_t i = 0; i < radius; ++i) {
      padded[radius - 1 - i] = row[i];
      padded[radius + side + i] = row[side - 1 - i];
    }
    std::size_t sum = 0;
    for (std::size_t i = 0; i < 2 * radius; ++i) sum += padded[i];
    for (std::size_t x = 0; x < side; ++x) {
      sum += padded[x + 2 * radius];
      out[x * side + y] = static_cast<std::uint8_t>(sum / (2 * radius + 1));
      sum -= padded[x];
    }
    co_await yield();
  }
  co_return out;
}

// Three box blurs are nearly a Gaussian one.
task<> blur(std::uint32_t number, std::vector<image>& images) {
  image pixels = generate_image(number);
  for (int turn = 0; turn < 6; ++turn) pixels = co_await blur_rows_and_turn(pixels);
  images[number] = std::move(pixels);
}

// At most as many images at a time as there are workers: more would only take turns.
task<> blur_all(std::vector<image>& images, unsigned workers) {
  group batch;
  batch.limit(workers);
  for (std::uint32_t number = 0; number < images.size(); ++number) batch.go(blur, number, std::ref(images));
  co_await batch.wait();
}

struct punctuality {
  int ticks = 0;
  duration worst = {};
};

task<> keep_time(punctuality& kept) {
  ticker clock(5ms);
  for (;;) {
    const time_point due = co_await clock.tick();
    ++kept.ticks;
    kept.worst = std::max(kept.worst, now() - due);
  }
}

std::uint32_t checksum(const std::vector<image>& images) {
  std::uint32_t sum = 2166136261;
  for (const image& pixels : images) {
    for (const std::uint8_t pixel : pixels) sum = (sum ^ pixel) * 16777619;
  }
  return sum;
}

task<> program(std::size_t count, unsigned workers) {
  std::vector<image> images(count);
  punctuality kept;
  const auto start = now();
  const std::clock_t cpu_start = std::clock();
  co_await select(blur_all(images, workers), keep_time(kept));  // cancels the ticker when all images are blurred
  const std::chrono::duration<double> elapsed = now() - start;
  const double cpu = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  const std::chrono::duration<double, std::milli> worst = kept.worst;

  std::printf("%zu images blurred, checksum %08x\n", count, checksum(images));
  std::printf("%.2f s, %.1f of %u CPUs busy\n", elapsed.count(), cpu / elapsed.count(), workers);
  std::printf("%d ticks, the latest by %.2f ms\n", kept.ticks, worst.count());
}

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 64;
  runtime all_cpus;
  all_cpus.run(program(count, all_cpus.workers()));
}
