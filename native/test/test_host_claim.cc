// Claims of disks: exclusive, waiting, visible facts, and what the refusals say.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "check.h"
#include "host/disk_claim.h"

using blkmirror::host::claim_disk;
using blkmirror::host::Disk;
using blkmirror::host::open_disk;
using blkmirror::host::Outcome;
using blkmirror::host::same_disk;

namespace {

struct TempFile {
  explicit TempFile(uint64_t bytes, const char* folder = "/var/tmp") {
    path = std::string(folder) + "/blkmirror-claim-XXXXXX";
    const int fd = mkstemp(path.data());
    if (fd >= 0 && ftruncate(fd, off_t(bytes)) != 0) path.clear();
    close(fd);
  }
  ~TempFile() { unlink(path.c_str()); }
  std::string path;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST(claim_tells_the_facts_of_a_file) {
  const TempFile file(1 << 20);
  Outcome<Disk> disk = claim_disk(file.path, 0, nullptr);
  CHECK(disk.ok());
  CHECK_EQ(disk.value().facts.size_bytes, 1 << 20);
  CHECK(!disk.value().facts.block_device);
  const uint32_t block = disk.value().facts.logical_block;
  CHECK(block == 512 || block == 4096);
  const bool direct = (fcntl(disk.value().fd.get(), F_GETFL) & O_DIRECT) != 0;
  CHECK_EQ(direct, disk.value().facts.direct);
  CHECK((fcntl(disk.value().fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST(claim_works_in_memory_file_systems) {
  const TempFile file(1 << 20, "/dev/shm");
  Outcome<Disk> disk = claim_disk(file.path, 0, nullptr);
  CHECK(disk.ok());
  CHECK(disk.value().facts.fast_zero);
  struct stat status;
  CHECK_EQ(stat(file.path.c_str(), &status), 0);
  CHECK_EQ(status.st_size, 1 << 20);
}

TEST(claim_is_exclusive_and_names_the_holder) {
  const TempFile file(1 << 20);
  Outcome<Disk> first = claim_disk(file.path, 0, nullptr);
  CHECK(first.ok());
  Outcome<Disk> second = claim_disk(file.path, 20, nullptr);
  CHECK(!second.ok());
  CHECK_EQ(second.failure().error, EBUSY);
  CHECK(contains(second.failure().message, file.path + " is in use: "));
  CHECK(contains(second.failure().message, std::to_string(getpid())));
  first.value().fd.reset();
  CHECK(claim_disk(file.path, 0, nullptr).ok());
}

TEST(claim_waits_for_the_holder) {
  const TempFile file(1 << 20);
  Outcome<Disk> first = claim_disk(file.path, 0, nullptr);
  CHECK(first.ok());
  std::thread release([&first] {
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    first.value().fd.reset();
  });
  Outcome<Disk> second = claim_disk(file.path, 10000, nullptr);
  release.join();
  CHECK(second.ok());
}

TEST(claim_stops_waiting_when_told) {
  const TempFile file(1 << 20);
  Outcome<Disk> first = claim_disk(file.path, 0, nullptr);
  CHECK(first.ok());
  const std::atomic<bool> stop{true};
  Outcome<Disk> second = claim_disk(file.path, 10000, &stop);
  CHECK(!second.ok());
  CHECK_EQ(second.failure().error, ECANCELED);
}

TEST(claim_lets_others_read) {
  const TempFile file(1 << 20);
  Outcome<Disk> first = claim_disk(file.path, 0, nullptr);
  CHECK(first.ok());
  Outcome<Disk> reader = open_disk(file.path);
  CHECK(reader.ok());
  CHECK_EQ(reader.value().facts.size_bytes, 1 << 20);
}

TEST(claim_refuses_what_is_no_disk) {
  Outcome<Disk> folder = claim_disk("/var/tmp", 0, nullptr);
  CHECK(!folder.ok());
  CHECK_EQ(folder.failure().error, EINVAL);
  Outcome<Disk> device = claim_disk("/dev/null", 0, nullptr);
  CHECK(!device.ok());
  CHECK_EQ(device.failure().error, EINVAL);
  Outcome<Disk> missing = claim_disk("/var/tmp/blkmirror-there-is-none", 0, nullptr);
  CHECK(!missing.ok());
  CHECK_EQ(missing.failure().error, ENOENT);
  CHECK(!open_disk("/dev/tty").ok());
}

TEST(claim_knows_the_same_disk_by_two_names) {
  const TempFile file(4096);
  const std::string other = file.path + "-link";
  CHECK_EQ(symlink(file.path.c_str(), other.c_str()), 0);
  const bool same = same_disk(file.path, other);
  unlink(other.c_str());
  CHECK(same);
  CHECK(!same_disk(file.path, "/dev/null"));
}

TEST(claim_of_a_loop_device_and_of_its_file) {
  if (geteuid() != 0) return;
  const TempFile file(8 << 20);
  FILE* pipe = popen(("losetup -f --show " + file.path + " 2>/dev/null").c_str(), "r");
  CHECK(pipe != nullptr);
  char line[64] = "";
  const bool told = fgets(line, sizeof line, pipe) != nullptr;
  pclose(pipe);
  if (!told) return;  // no loop devices here
  const std::string loop = std::string(line).substr(0, std::string(line).find('\n'));
  Outcome<Disk> device = claim_disk(loop, 0, nullptr);
  Outcome<Disk> again = claim_disk(loop, 0, nullptr);
  Outcome<Disk> below = claim_disk(file.path, 0, nullptr);
  const bool claimed = device.ok();
  const bool is_block = claimed && device.value().facts.block_device;
  if (claimed) device.value().fd.reset();
  const int detached = std::system(("losetup -d " + loop).c_str());
  CHECK_EQ(detached, 0);
  CHECK(claimed);
  CHECK(is_block);
  CHECK(!again.ok());
  CHECK_EQ(again.failure().error, EBUSY);
  CHECK(!below.ok());
  CHECK(contains(below.failure().message, loop));
}
