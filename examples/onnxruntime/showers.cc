// Make showers with a model that `caloforge export MODEL --target onnx` wrote, by ONNX Runtime.
//
//   showers MODEL.onnx NUMBER ENERGY_IN_MEV OUT.f32 [INPUTS]
//
// Each input of the model is read from INPUTS/NAME.f32 (or .f64, .i64) where there is such a file, as
// `caloforge export --inputs INPUTS` writes it; or else it is made here: the incident energy is
// ENERGY_IN_MEV, normal numbers are drawn for float inputs and uniform ones for double. OUT.f32 gets
// NUMBER showers, one after the other, as 32-bit numbers in MeV, in the order of the cells.
//
//   g++ -std=c++17 -O2 -I $ONNXRUNTIME/include showers.cc -L $ONNXRUNTIME/lib -lonnxruntime -o showers

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::mt19937_64 engine{1};

/// One input: its numbers, in the type that the model asks for, and its shape.
struct Input {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  int64_t count() const {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>{});
  }
};

struct Kind {
  const char* suffix;
  std::size_t size;
};

Kind kindOf(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return {".f32", 4};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE: return {".f64", 8};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return {".i64", 8};
    default: throw std::runtime_error("an input of another type than float, double and int64");
  }
}

template <typename T, typename Draw>
void fill(Input& input, Draw draw) {
  T* numbers = reinterpret_cast<T*>(input.bytes.data());
  for (int64_t i = 0; i < input.count(); ++i) numbers[i] = static_cast<T>(draw());
}

/// Numbers of one's own: what a host does.
void make(Input& input, float energy) {
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform{1e-12, 1.0};
  if (input.name == "incident_energy") {
    fill<float>(input, [&] { return energy; });
  } else if (input.name.rfind("noise_", 0) != 0) {
    throw std::runtime_error("input '" + input.name + "' is no noise: give a folder of inputs");
  } else if (input.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE) {
    fill<double>(input, [&] { return uniform(engine); });
  } else {
    fill<float>(input, [&] { return normal(engine); });
  }
}

/// Numbers from the file of the input, if there is one; whether there is.
bool read(Input& input, const std::string& folder) {
  const std::string path = folder + "/" + input.name + kindOf(input.type).suffix;
  std::ifstream file{path, std::ios::binary};
  if (folder.empty() || !file) return false;
  file.read(input.bytes.data(), static_cast<std::streamsize>(input.bytes.size()));
  if (file.gcount() != static_cast<std::streamsize>(input.bytes.size()))
    throw std::runtime_error(path + ": holds fewer showers than were asked for");
  return true;
}

std::vector<Input> inputsOf(Ort::Session& session, int64_t number, float energy,
                            const std::string& folder) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Input> inputs;
  for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
    const auto info = session.GetInputTypeInfo(i);
    const auto tensor = info.GetTensorTypeAndShapeInfo();
    Input input;
    input.name = session.GetInputNameAllocated(i, allocator).get();
    input.type = tensor.GetElementType();
    input.shape = tensor.GetShape();
    input.shape.at(0) = number;
    input.bytes.resize(static_cast<std::size_t>(input.count()) * kindOf(input.type).size);
    if (!read(input, folder)) make(input, energy);
    inputs.push_back(std::move(input));
  }
  return inputs;
}

void run(const char* model, int64_t number, float energy, const char* out,
         const std::string& folder) {
  Ort::Env environment{ORT_LOGGING_LEVEL_ERROR, "caloforge"};
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session{environment, model, options};
  std::vector<Input> inputs = inputsOf(session, number, energy, folder);

  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> names;
  std::vector<Ort::Value> values;
  for (Input& input : inputs) {
    names.push_back(input.name.c_str());
    values.push_back(Ort::Value::CreateTensor(memory, input.bytes.data(), input.bytes.size(),
                                              input.shape.data(), input.shape.size(), input.type));
  }
  Ort::AllocatorWithDefaultOptions allocator;
  const auto output = session.GetOutputNameAllocated(0, allocator);
  const char* outputs[] = {output.get()};
  auto results = session.Run(Ort::RunOptions{nullptr}, names.data(), values.data(), values.size(),
                             outputs, 1);

  const float* deposits = results[0].GetTensorData<float>();
  const std::size_t count = results[0].GetTensorTypeAndShapeInfo().GetElementCount();
  std::ofstream file{out, std::ios::binary};
  file.write(reinterpret_cast<const char*>(deposits),
             static_cast<std::streamsize>(count * sizeof(float)));
  if (!file.flush()) throw std::runtime_error(std::string{out} + ": cannot be written");
  const double sum = std::accumulate(deposits, deposits + count, 0.0);
  std::cout << number << " showers, mean deposit " << sum / static_cast<double>(number) << " MeV\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::cerr << "use: showers MODEL.onnx NUMBER ENERGY_IN_MEV OUT.f32 [INPUTS]\n";
    return 2;
  }
  try {
    run(argv[1], std::atoll(argv[2]), std::strtof(argv[3], nullptr), argv[4],
        argc > 5 ? argv[5] : "");
  } catch (const std::exception& error) {
    std::cerr << "showers: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
