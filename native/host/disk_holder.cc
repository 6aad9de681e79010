// Finding the holder of a disk in /proc and /sys.
#include "host/disk_holder.h"

#include <dirent.h>
#include <sys/sysmacros.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/assert.h"

namespace blkmirror::host {

namespace {

constexpr size_t kMaxEntries = 4096;  // of a folder or a table

std::vector<std::string> entries_of(const std::string& folder) {
  BM_ASSERT(!folder.empty());
  std::vector<std::string> names;
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    if (names.size() == kMaxEntries) break;
  }
  closedir(dir);
  return names;
}

std::string first_line(const std::string& path) {
  BM_ASSERT(!path.empty());
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The octal escapes of /proc/mounts: \040 is a space.
std::string unescape(const std::string& text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); at++) {
    const bool octal = text[at] == '\\' && at + 3 < text.size();
    if (octal) {
      plain += static_cast<char>(std::strtol(text.substr(at + 1, 3).c_str(), nullptr, 8));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  BM_ASSERT(plain.size() <= text.size());
  return plain;
}

bool is_device(const std::string& path, dev_t device) {
  struct stat status;
  if (path.empty() || path[0] != '/') return false;
  if (stat(path.c_str(), &status) != 0) return false;
  return S_ISBLK(status.st_mode) && status.st_rdev == device;
}

// Where the device is mounted, or empty.
std::string mount_point_of(dev_t device) {
  std::ifstream mounts("/proc/self/mounts");
  std::string source, target, rest;
  for (size_t line = 0; line < kMaxEntries && mounts >> source >> target; line++) {
    std::getline(mounts, rest);
    if (is_device(unescape(source), device)) return unescape(target);
  }
  return "";
}

bool is_swap(dev_t device) {
  std::ifstream swaps("/proc/swaps");
  std::string name, rest;
  std::getline(swaps, rest);
  for (size_t line = 0; line < kMaxEntries && swaps >> name; line++) {
    std::getline(swaps, rest);
    if (is_device(unescape(name), device)) return true;
  }
  return false;
}

std::string process_name(int pid) {
  BM_ASSERT(pid > 0);
  return first_line("/proc/" + std::to_string(pid) + "/comm");
}

// The process that holds a flock on the file, 0 when unknown.
int flock_holder(const struct stat& status) {
  std::ifstream locks("/proc/locks");
  std::string line;
  for (size_t count = 0; count < kMaxEntries && std::getline(locks, line); count++) {
    unsigned high = 0;
    unsigned low = 0;
    uint64_t inode = 0;
    int pid = 0;
    char kind[16] = "";
    const int found = std::sscanf(line.c_str(), "%*s %15s %*s %*s %d %x:%x:%" SCNu64, kind, &pid,
                                  &high, &low, &inode);
    if (found != 5 || std::strcmp(kind, "FLOCK") != 0 || pid <= 0) continue;
    const bool here = high == major(status.st_dev) && low == minor(status.st_dev);
    if (here && inode == status.st_ino) return pid;
  }
  return 0;
}

}  // namespace

std::string describe_block_holder(const struct stat& status) {
  BM_ASSERT(S_ISBLK(status.st_mode));
  const std::string mounted = mount_point_of(status.st_rdev);
  if (!mounted.empty()) return "it is mounted on " + mounted + ": unmount it first";
  if (is_swap(status.st_rdev)) return "it is used as swap: run swapoff first";
  const std::string device = "/sys/dev/block/" + std::to_string(major(status.st_rdev)) + ":" +
                             std::to_string(minor(status.st_rdev));
  const std::vector<std::string> holders = entries_of(device + "/holders");
  if (!holders.empty()) return "it is used by " + holders[0] + ": take it out of that first";
  return "another program, mount or volume group holds it or a part of it: "
         "find it with lsblk and fuser, and end that first";
}

std::string describe_file_holder(const struct stat& status) {
  BM_ASSERT(S_ISREG(status.st_mode));
  const int pid = flock_holder(status);
  if (pid == 0) return "another process holds its lock: find it with fuser, and end it first";
  const std::string name = process_name(pid);
  return "it is used by " + (name.empty() ? "a process" : name) + " (pid " + std::to_string(pid) +
         "): detach it there first";
}

std::string loop_device_of(const struct stat& status) {
  BM_ASSERT(S_ISREG(status.st_mode));
  for (const std::string& name : entries_of("/sys/block")) {
    if (name.rfind("loop", 0) != 0) continue;
    const std::string backing = first_line("/sys/block/" + name + "/loop/backing_file");
    struct stat other;
    if (backing.empty() || stat(backing.c_str(), &other) != 0) continue;
    if (other.st_dev == status.st_dev && other.st_ino == status.st_ino) return "/dev/" + name;
  }
  return "";
}

}  // namespace blkmirror::host
