{
  "target_defaults": {
    "include_dirs": [".", "<!@(node -p \"require('node-addon-api').include_dir\")"],
    "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "_GNU_SOURCE"],
    "cflags!": ["-O3"],
    "cflags": ["-O2", "-g", "-fPIC", "-fvisibility=hidden", "<!@(pkg-config --cflags liburing)"],
    "cflags_cc!": ["-std=gnu++17", "-fexceptions", "-frtti", "-O3"],
    "cflags_cc": [
      "-std=gnu++20",
      "-fno-exceptions",
      "-fno-rtti",
      "-Wall",
      "-Wextra"
    ]
  },
  "targets": [
    {
      "target_name": "blkmirror_core",
      "type": "static_library",
      "sources": ["<!@(node ../scripts/lib/native-sources.cjs core)"]
    },
    {
      "target_name": "blkmirror",
      "dependencies": ["blkmirror_core"],
      "sources": ["<!@(node ../scripts/lib/native-sources.cjs addon)"],
      "libraries": ["<!@(pkg-config --libs liburing)"]
    },
    {
      "target_name": "blkmirror_sim",
      "dependencies": ["blkmirror_core"],
      "sources": ["<!@(node ../scripts/lib/native-sources.cjs sim)"],
      "libraries": ["<!@(pkg-config --libs liburing)"]
    },
    {
      "target_name": "blkmirror-handlers",
      "type": "executable",
      "sources": [
        "helper/main.cc",
        "helper/daemon_socket.cc",
        "helper/handler.cc",
        "base/assert.cc"
      ],
      "include_dirs": ["."],
      "defines": ["_GNU_SOURCE"],
      "cflags!": ["-O3", "-fPIC"],
      "cflags": ["-O2", "-g"],
      "cflags_cc!": ["-std=gnu++17", "-fexceptions", "-frtti", "-O3"],
      "cflags_cc": ["-std=gnu++20", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra"],
      "ldflags!": ["-rdynamic"],
      "ldflags": ["-static"]
    }
  ]
}
