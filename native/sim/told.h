// What has something to say to JavaScript: devices and lobbies. The world keeps those that do, and
// lets them say it between two events.
#pragma once

namespace blkmirror::sim {

class Told {
 public:
  // There is something new; costs nothing when that is known already.
  virtual void note() = 0;

 protected:
  ~Told() = default;
};

}  // namespace blkmirror::sim
