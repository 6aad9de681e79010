// The inputs that fuzzing has found worth keeping, each run through its target once.
#include <dirent.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "check.h"
#include "fuzz/targets.h"

namespace {

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const open = opendir(folder.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open)) {
    if (entry->d_name[0] != '.') names.push_back(folder + "/" + entry->d_name);
  }
  closedir(open);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::byte> contents(const std::string& path) {
  std::vector<std::byte> bytes;
  FILE* const file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  bytes.resize(1u << 20);
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
  std::fclose(file);
  return bytes;
}

// How many inputs were run. A name on standard error tells which one ends the process.
size_t run_corpus(const char* name) {
  for (const auto& target : blkmirror::fuzz::kTargets) {
    if (std::string(target.name) != name) continue;
    const auto files = files_in(std::string("fuzz/corpus/") + name);
    for (const std::string& file : files) {
      std::fprintf(stderr, "%s\n", file.c_str());
      const auto bytes = contents(file);
      target.run(bytes);
    }
    return files.size();
  }
  return 0;
}

}  // namespace

TEST(fuzz_corpus_nbd_handshake) { CHECK(run_corpus("nbd_handshake") > 0); }
TEST(fuzz_corpus_nbd_requests) { CHECK(run_corpus("nbd_requests") > 0); }
TEST(fuzz_corpus_replication_frames) { CHECK(run_corpus("replication_frames") > 0); }
TEST(fuzz_corpus_superblock) { CHECK(run_corpus("superblock") > 0); }
TEST(fuzz_corpus_activity_log) { CHECK(run_corpus("activity_log") > 0); }
TEST(fuzz_corpus_bitmap) { CHECK(run_corpus("bitmap") > 0); }
